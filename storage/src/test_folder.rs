//! A folder of a test's own.

use std::path::{Path, PathBuf};
use std::{env, fs};

use vestibule_oauth_core::base64url;

use crate::entropy;

/// A new empty folder, removed with all that is in it when this value goes.
pub(crate) struct TestFolder(PathBuf);

impl TestFolder {
    pub(crate) fn new() -> Self {
        let name = base64url::encode(entropy::draw::<16>().unwrap());
        let path = env::temp_dir().join(format!("vestibule-storage-{name}"));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system: a test that passed does not fail for it.
        let _ = fs::remove_dir_all(&self.0);
    }
}
