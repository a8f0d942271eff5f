//! The floors of ARCHITECTURE.md, held against what Cargo says: who may import whom, what the pure crates must not
//! reach, and which third-party crates stay out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// One crate of ours.
struct Floor {
    package: &'static str,
    folder: &'static str,
    /// What it may always import.
    imports: &'static [&'static str],
    /// What it may import under a feature only, so as an optional dependency.
    optional: &'static [&'static str],
}

const OAUTH_CORE: &str = "vestibule-oauth-core";
const DPOP: &str = "vestibule-dpop";
const TOKEN_ENDPOINT: &str = "vestibule-token-endpoint";
const STRATEGY: &str = "vestibule-strategy";
const IDENTITY: &str = "vestibule-atproto-identity";
const STORAGE: &str = "vestibule-storage";
const SERVER: &str = "vestibule-server-hyper";
const TESTS: &str = "vestibule-tests";

/// Lowest first. The two crates of floor 2 never meet.
const FLOORS: [Floor; 8] = [
    Floor { package: OAUTH_CORE, folder: "oauth-core", imports: &[], optional: &[] },
    Floor { package: DPOP, folder: "dpop", imports: &[OAUTH_CORE], optional: &[] },
    Floor { package: TOKEN_ENDPOINT, folder: "token-endpoint", imports: &[OAUTH_CORE, DPOP], optional: &[] },
    Floor { package: STRATEGY, folder: "strategy", imports: &[OAUTH_CORE, DPOP], optional: &[] },
    Floor {
        package: IDENTITY,
        folder: "atproto-identity",
        imports: &[OAUTH_CORE],
        optional: &[DPOP, STRATEGY],
    },
    Floor {
        package: STORAGE,
        folder: "storage",
        imports: &[OAUTH_CORE, DPOP, TOKEN_ENDPOINT, STRATEGY, IDENTITY],
        optional: &[],
    },
    Floor {
        package: SERVER,
        folder: "server-hyper",
        imports: &[OAUTH_CORE, DPOP, TOKEN_ENDPOINT, STRATEGY, IDENTITY, STORAGE],
        optional: &[],
    },
    Floor {
        package: TESTS,
        folder: "tests",
        imports: &[OAUTH_CORE, DPOP, TOKEN_ENDPOINT, STRATEGY, IDENTITY, STORAGE, SERVER],
        optional: &[],
    },
];

/// What they reach without any feature is theirs alone to say.
const PURE: [&str; 5] = [OAUTH_CORE, DPOP, TOKEN_ENDPOINT, STRATEGY, IDENTITY];

/// Crates that are designed and not there yet.
const NOT_YET: [&str; 0] = [];

/// They pull second generations of what we have, lock in an HTTP client, or carry advisories. `deny.toml` says the same.
const BANNED: [&str; 8] =
    ["reqwest", "sqlx", "oauth2", "openidconnect", "rsa", "josekit", "openssl", "native-tls"];

/// What there must be one version of, in all that the workspace builds.
const SINGLE: [&str; 9] =
    ["digest", "hmac", "http", "hyper", "p256", "rand_core", "rustls", "serde_json", "sha2"];

/// What brings a network, a clock or a random source into a crate that promises none. `rand_core` is not among them: it
/// is traits.
const IMPURE: [&str; 17] = [
    "aws-lc-rs",
    "chrono",
    "getrandom",
    "hickory-resolver",
    "hyper",
    "hyper-util",
    "jsonwebtoken",
    "mio",
    "rand",
    "ring",
    "rusqlite",
    "rustls",
    "socket2",
    "time",
    "tokio",
    "tracing",
    "webpki-roots",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(args)
        .arg("--locked")
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The workspace's packages by name, as `cargo metadata` has them.
fn packages() -> BTreeMap<String, Value> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(|package| (package["name"].as_str().unwrap().to_owned(), package.clone())).collect()
}

/// Name and features of every crate in a tree.
fn tree(args: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let mut crates: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let printed = cargo(&[&["tree", "--prefix", "none", "--format", "{p}|{f}"], args].concat());
    for line in printed.lines() {
        let (package, features) = line.split_once('|').unwrap_or((line, ""));
        let name = package.split(' ').next().unwrap_or_default();
        // `(*)` marks a crate whose own dependencies were printed before.
        let features = features.trim_end_matches("(*)").trim();
        let features = features.split(',').filter(|feature| !feature.is_empty());
        crates.entry(name.to_owned()).or_default().extend(features.map(str::to_owned));
    }
    crates
}

/// What the lock file has, outside the workspace: name and version.
fn locked() -> Vec<(String, String)> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    lock.split("[[package]]")
        .filter(|package| package.contains("\nsource = "))
        .map(|package| {
            let value = |key| {
                package.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim_matches('"').to_owned()
            };
            (value("name = "), value("version = "))
        })
        .collect()
}

#[test]
fn each_crate_has_a_floor() {
    let packages = packages();
    for (name, package) in &packages {
        let floor = FLOORS.iter().find(|floor| floor.package == name);
        let floor = floor.unwrap_or_else(|| panic!("{name} has no row in the table of floors"));
        let manifest = package["manifest_path"].as_str().unwrap();
        assert!(manifest.ends_with(&format!("/{}/Cargo.toml", floor.folder)), "{name} lives at {manifest}");
    }
    for floor in &FLOORS {
        assert!(
            packages.contains_key(floor.package) || NOT_YET.contains(&floor.package),
            "{}",
            floor.package
        );
    }
}

#[test]
fn each_crate_imports_only_from_the_floors_below() {
    let packages = packages();
    for floor in FLOORS.iter().filter(|floor| packages.contains_key(floor.package)) {
        for dependency in packages[floor.package]["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap();
            // Development dependencies are of kind "dev": tests may look up, as long as Cargo lets them.
            if !name.starts_with("vestibule-") || dependency["kind"] == "dev" {
                continue;
            }
            let always = floor.imports.contains(&name);
            let under_a_feature = floor.optional.contains(&name);
            assert!(always || under_a_feature, "{} must not import {name}", floor.package);
            assert!(
                always || dependency["optional"] == true,
                "{} may import {name} under a feature only",
                floor.package
            );
        }
    }
}

#[test]
fn the_identity_crate_signs_in_only_under_its_feature_login() {
    let features = packages()[IDENTITY]["features"].clone();
    for (feature, enables) in features.as_object().unwrap() {
        for dependency in [DPOP, STRATEGY] {
            let brings = enables.as_array().unwrap().iter().any(|item| {
                let item = item.as_str().unwrap();
                item.trim_start_matches("dep:").split('/').next() == Some(dependency)
            });
            assert!(!brings || feature == "login", "feature {feature} brings {dependency}");
        }
    }
}

#[test]
fn nobody_imports_the_tests() {
    for (name, package) in packages() {
        for dependency in package["dependencies"].as_array().unwrap() {
            assert_ne!(dependency["name"], TESTS, "{name} imports it");
        }
    }
}

#[test]
fn banned_crates_are_nowhere_in_the_lock_file() {
    let locked = locked();
    assert!(locked.iter().any(|(name, _)| name == "serde_json"), "the lock file was not understood");
    for (name, version) in locked {
        assert!(!BANNED.contains(&name.as_str()), "{name} {version} is banned");
    }
}

#[test]
fn there_is_one_generation_of_what_we_build_on() {
    let locked = locked();
    for single in SINGLE {
        let versions: Vec<_> = locked.iter().filter(|(name, _)| name == single).map(|(_, v)| v).collect();
        assert!(versions.len() <= 1, "{single} is there {} times: {versions:?}", versions.len());
    }
}

#[test]
fn pure_crates_reach_no_network_clock_or_random_source() {
    for package in PURE {
        let tree = tree(&["-p", package, "-e", "normal", "--no-default-features"]);
        assert!(tree.contains_key(package), "the tree of {package} was not understood");
        for name in tree.keys() {
            assert!(!IMPURE.contains(&name.as_str()), "{package} reaches {name} without any feature");
        }
    }
}

/// What compiles or links C, or stands for a system that a browser is not.
const FOREIGN: [&str; 9] = [
    "aws-lc-sys",
    "bindgen",
    "cc",
    "cmake",
    "js-sys",
    "libsqlite3-sys",
    "pkg-config",
    "wasi",
    "wasm-bindgen",
];

const WASM: &str = "wasm32-unknown-unknown";

#[test]
fn s30_pure_crates_are_for_any_machine() {
    for package in PURE {
        let tree = tree(&["-p", package, "-e", "normal,build", "--no-default-features", "--target", WASM]);
        assert!(tree.contains_key(package), "the tree of {package} was not understood");
        for name in tree.keys() {
            let stays_out = IMPURE.contains(&name.as_str()) || FOREIGN.contains(&name.as_str());
            assert!(!stays_out, "{package} reaches {name} on {WASM}");
        }
    }
    // Whether it compiles is seen where that target is installed.
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let library = Command::new(rustc).args(["--print", "target-libdir", "--target", WASM]).output().unwrap();
    if Path::new(String::from_utf8_lossy(&library.stdout).trim()).is_dir() {
        for package in PURE {
            cargo(&["check", "-p", package, "--no-default-features", "--target", WASM]);
        }
    }
}

#[test]
fn a_login_takes_locks_from_tokio_and_nothing_else() {
    let tree = tree(&["-p", IDENTITY, "-e", "normal", "--no-default-features", "--features", "login"]);
    for name in tree.keys().filter(|name| *name != "tokio") {
        assert!(!IMPURE.contains(&name.as_str()), "{IDENTITY} with login reaches {name}");
    }
    let tokio = tree.get("tokio").cloned().unwrap_or_default();
    let allowed = BTreeSet::from(["default".to_owned(), "sync".to_owned()]);
    assert!(tokio.is_subset(&allowed), "{IDENTITY} with login asks tokio for {tokio:?}");
}

#[test]
fn serde_json_has_no_feature_that_acts_on_everybody() {
    let tree = tree(&["--workspace", "-e", "normal,dev,build", "--all-features"]);
    let features = &tree["serde_json"];
    assert!(features.contains("std"), "the features of serde_json were not understood: {features:?}");
    // A thumbprint made from a map is in the order of RFC 7638 only while nobody asks for `preserve_order`; the others
    // change what every parser in the program accepts.
    for feature in ["arbitrary_precision", "preserve_order", "unbounded_depth"] {
        assert!(!features.contains(feature), "something asks serde_json for {feature}");
    }
}
