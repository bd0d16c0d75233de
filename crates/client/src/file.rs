//! Private files that survive a crash: 0600 in a directory of 0700, written whole to a temporary file, synced, then named.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rand::TryRngCore;
use rand::rngs::OsRng;

/// The lock that guards a file, held until dropped: a file beside it, so that the guarded one can be replaced.
#[derive(Debug)]
pub(crate) struct Guarded {
    lock: File,
}

impl Guarded {
    /// Waits for every other holder.
    pub(crate) fn exclusive(path: &Path) -> io::Result<Self> {
        make_directory(parent(path))?;
        let lock = private().create(true).append(true).open(lock_path(path))?;
        lock.lock()?;
        Ok(Self { lock })
    }

    /// The lock's own file, to append to.
    pub(crate) const fn file(&mut self) -> &mut File {
        &mut self.lock
    }
}

/// Where the lock of a guarded file is.
pub(crate) fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    path.with_file_name(name)
}

/// The file's bytes; `None` when there is no such file.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts `bytes` in the place of whatever is at `path`: wholly or not at all.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_temporary(path, bytes)?;
    fs::rename(&temporary, path).inspect_err(|_| remove_quietly(&temporary))?;
    sync_directory(parent(path))
}

/// Puts `bytes` at `path`, where nothing may be yet.
///
/// A hard link is the one way to name a finished file that never takes the place of another. Where there are none, the
/// file is written in place: still never over another, but a crash may leave it short.
pub(crate) fn create_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_temporary(path, bytes)?;
    let linked = fs::hard_link(&temporary, path);
    remove_quietly(&temporary);
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => write_new(path, bytes)?,
    }
    sync_directory(parent(path))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = private().write(true).create_new(true).open(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).inspect_err(|_| remove_quietly(path))
}

/// Options for opening a file that only its owner may read.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// Makes a directory that only its owner may enter; one that exists is left as it is.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// Makes names in `path` durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn write_temporary(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    make_directory(parent(path))?;
    let mut unique = [0_u8; 8];
    OsRng.try_fill_bytes(&mut unique).map_err(io::Error::other)?;
    // The leading dot hides it from listings; a crash leaves at most this.
    let temporary = path.with_file_name(format!(".tmp-{}", hex::encode(unique)));
    write_new(&temporary, bytes)?;
    Ok(temporary)
}

fn remove_quietly(path: &Path) {
    // Nothing to be done about it, and nothing depends on it.
    let _ = fs::remove_file(path);
}
