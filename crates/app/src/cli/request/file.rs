//! Where an answer goes that does not go to standard output. What was paid for is never thrown away because a file could not
//! be written, or a terminal could not show it.

use std::path::{Path, PathBuf};

use crate::error::CliError;

/// The file of `-o`, known to be writable.
pub struct OutFile {
    path: PathBuf,
    existed: bool,
}

impl OutFile {
    /// Finds out whether the file can be written, and changes nothing that is in it.
    ///
    /// # Errors
    /// When it cannot.
    pub fn prepare(path: &Path) -> Result<Self, CliError> {
        let existed = path.exists();
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
        opened.map_err(|error| {
            CliError::file("write", path, &error).help("nothing was sent and nothing was paid")
        })?;
        Ok(Self { path: path.to_owned(), existed })
    }

    /// Removes the file, if it was made here and nothing was written to it.
    pub fn discard(&self) {
        let empty = std::fs::metadata(&self.path).is_ok_and(|meta| meta.len() == 0);
        if !self.existed && empty {
            // An empty file that stays does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A new file for an answer that a terminal cannot show.
///
/// # Errors
/// When there is no place for one.
pub fn instead_of_a_terminal() -> Result<PathBuf, CliError> {
    let made = tempfile::Builder::new().prefix("farthing-answer-").tempfile();
    let failed = |error: &std::io::Error| {
        CliError::unexpected(
            "answer_unwritable",
            format!("the answer is binary, and no file can be made for it: {error}"),
        )
    };
    let (_, path) = made.map_err(|error| failed(&error))?.keep().map_err(|error| failed(&error.error))?;
    Ok(path)
}
