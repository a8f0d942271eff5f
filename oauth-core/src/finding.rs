//! What a review of a document found.

use std::fmt;

/// One thing that a document gets wrong, with the rule it breaks and what to write instead.
///
/// Rules of the AT Protocol have the names R1 to R122 that this project's requirements give them; other rules are named
/// by the section of the document that makes them.
///
/// ```
/// use vestibule_oauth_core::client_metadata::{self, RuleSet};
///
/// let findings = client_metadata::review(b"{}", None, RuleSet::Atproto);
/// let of_r11 = findings.iter().find(|finding| finding.rule == "R11").unwrap();
/// assert_eq!(
///     of_r11.to_string(),
///     "error R11: dpop_bound_access_tokens is missing; write true: every token is bound to a DPoP key"
/// );
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The rule that is broken: `R9`, or `RFC 7591, section 2`.
    pub rule: &'static str,
    /// The member of the document, with the place in its list where it has one: `redirect_uris[2]`.
    pub field: String,
    /// How bad it is.
    pub level: Level,
    /// What is wrong, to be read after the name of the field: "is missing".
    pub problem: String,
    /// What to write instead, to be read after "write" or on its own.
    pub instead: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Level {
    /// Servers take it, but some will not, or something will not work as hoped.
    Warning,
    /// A rule is broken, and a server that holds it refuses the document.
    Error,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {} {}; {}", self.level, self.rule, self.field, self.problem, self.instead)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Findings being gathered.
#[derive(Default, Debug)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn error(
        &mut self,
        rule: &'static str,
        field: impl Into<String>,
        problem: impl Into<String>,
        instead: impl Into<String>,
    ) {
        self.push(Level::Error, rule, field.into(), problem.into(), instead.into());
    }

    pub(crate) fn warning(
        &mut self,
        rule: &'static str,
        field: impl Into<String>,
        problem: impl Into<String>,
        instead: impl Into<String>,
    ) {
        self.push(Level::Warning, rule, field.into(), problem.into(), instead.into());
    }

    fn push(&mut self, level: Level, rule: &'static str, field: String, problem: String, instead: String) {
        if self.0.len() < MAX_FINDINGS {
            self.0.push(Finding { rule, field, level, problem, instead });
        } else if level == Level::Error
            && let Some(last) = self.0.last_mut()
        {
            // Full of warnings, the list must still say that the document is refused.
            *last = Finding { rule, field, level, problem, instead };
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.0.iter().any(|finding| finding.level == Level::Error)
    }

    /// Whether there is an error in a field whose name begins so.
    pub(crate) fn has_errors_in(&self, start: &str) -> bool {
        self.0.iter().any(|finding| finding.level == Level::Error && finding.field.starts_with(start))
    }

    pub(crate) fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}

/// A received text as it may stand in a message: quoted, escaped, and not longer than a person reads.
pub(crate) fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(MAX_SHOWN).collect();
    if chars.next().is_none() { format!("{start:?}") } else { format!("{start:?}…") }
}

/// More than anybody reads at once, and enough for a few per entry of a long list.
const MAX_FINDINGS: usize = 256;

/// Characters of a received text in a message: a whole URL of usual length.
const MAX_SHOWN: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_bounded_and_keep_an_error() {
        let mut findings = Findings::default();
        for _ in 0..1000 {
            findings.warning("R1", "a", "b", "c");
        }
        findings.error("R2", "a", "b", "c");
        assert!(findings.has_errors());
        assert_eq!(findings.into_vec().len(), MAX_FINDINGS);
    }

    #[test]
    fn received_text_is_quoted_and_cut() {
        assert_eq!(shown("a\n\"b"), r#""a\n\"b""#);
        assert_eq!(shown(&"\u{e9}".repeat(500)).chars().count(), MAX_SHOWN + 3);
    }
}
