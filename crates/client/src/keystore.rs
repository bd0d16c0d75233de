//! [`Keystore`]: keys encrypted at rest, one file each, in the Web3 Secret Storage format, version 3, which geth, Foundry and
//! the rest of that world read and write. It signs nothing.
//!
//! New files use scrypt with the format's standard cost, `n = 262144, r = 8, p = 1`: about a second and 256 MiB each time a key
//! is unlocked, and as much for everybody who guesses a password. [`KdfCost::Light`] is Foundry's `n = 8192`, for keys
//! that hold next to nothing. Files of any cost up to 1 GiB of memory are read, PBKDF2 ones too.
//!
//! A file's name is the key's name, without an extension, so that a directory of Foundry's or geth's can be used as it is.
//! Besides the format's own fields a file holds `address` (as geth writes it), by which [`Keystore::address`] needs no
//! password, and `x-created-ms`, which other programs ignore.

mod address;
mod error;
mod name;
mod secret;
mod v3;

pub use address::Address;
pub use error::KeystoreError;
pub use name::KeyName;
pub use secret::SecretHex;
pub use v3::KdfCost;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

use farthing_protocol::UnixMs;
use farthing_protocol::ports::Clock;
use rand::TryRngCore;
use rand::rngs::OsRng;
use secp256k1::SecretKey;
use zeroize::Zeroizing;

use crate::file;
use v3::KeyFile;

/// What can be told about a key without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// The key's name.
    pub name: KeyName,
    /// Its address; `None` where the file does not tell, as Foundry's do not.
    pub address: Option<Address>,
    /// When it was created or imported here, where the file tells.
    pub created: Option<UnixMs>,
}

/// One line of a listing: a file that cannot be read is told about, and hides no other.
#[derive(Debug)]
pub struct Listed {
    /// The key's name.
    pub name: KeyName,
    /// What the file tells, or what is wrong with it.
    pub info: Result<KeyInfo, KeystoreError>,
}

/// A directory (0700) of encrypted keys (0600).
#[derive(Clone)]
pub struct Keystore {
    directory: PathBuf,
    clock: Arc<dyn Clock>,
    cost: KdfCost,
}

impl fmt::Debug for Keystore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keystore")
            .field("directory", &self.directory)
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

impl Keystore {
    /// The keystore in `directory`, which the first key makes.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self { directory: directory.into(), clock, cost: KdfCost::Standard }
    }

    /// Encrypts new keys at this cost.
    #[must_use]
    pub fn with_cost(mut self, cost: KdfCost) -> Self {
        self.cost = cost;
        self
    }

    /// Where the keys are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes a fresh key.
    ///
    /// # Errors
    /// [`KeystoreError::Exists`], [`KeystoreError::EmptyPassword`], [`KeystoreError::Storage`].
    pub fn create(&self, name: &KeyName, password: &str) -> Result<KeyInfo, KeystoreError> {
        let mut key = Zeroizing::new([0_u8; 32]);
        loop {
            OsRng
                .try_fill_bytes(key.as_mut())
                .map_err(|error| self.storage(name, &io::Error::other(error)))?;
            // All but one in 2^128 draws is a key.
            if SecretKey::from_byte_array(*key).is_ok() {
                return self.store(name, &key, password);
            }
        }
    }

    /// Keeps a key that somebody already has.
    ///
    /// # Errors
    /// [`KeystoreError::Exists`], [`KeystoreError::EmptyPassword`], [`KeystoreError::Storage`].
    pub fn import(&self, name: &KeyName, key: &SecretHex, password: &str) -> Result<KeyInfo, KeystoreError> {
        self.store(name, key.bytes(), password)
    }

    fn store(&self, name: &KeyName, key: &[u8; 32], password: &str) -> Result<KeyInfo, KeystoreError> {
        if password.is_empty() {
            return Err(KeystoreError::EmptyPassword);
        }
        let path = self.path(name);
        // Before the second that the encryption takes; `create_new` decides.
        if path.exists() {
            return Err(KeystoreError::Exists { name: name.clone() });
        }
        let created = self.clock.now();
        let file =
            KeyFile::seal(key, password, self.cost, created).map_err(|error| self.storage(name, &error))?;
        let json = file.to_json().map_err(|error| self.storage(name, &error))?;
        file::create_new(&path, json.as_bytes()).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeystoreError::Exists { name: name.clone() },
            _ => self.storage(name, &error),
        })?;
        Ok(KeyInfo { name: name.clone(), address: Some(Address::of_key(key)?), created: Some(created) })
    }

    /// Every key, by name.
    ///
    /// # Errors
    /// [`KeystoreError::Unlistable`].
    pub fn list(&self) -> Result<Vec<Listed>, KeystoreError> {
        let unlistable = |error: io::Error| KeystoreError::Unlistable {
            path: self.directory.display().to_string(),
            why: error.to_string(),
        };
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unlistable(error)),
        };
        let mut listed = Vec::new();
        for entry in entries {
            let entry = entry.map_err(unlistable)?;
            let is_file = entry.file_type().map_err(unlistable)?.is_file();
            // Hidden files and others that no key can be called are not keys.
            let name = entry.file_name().to_str().and_then(|name| KeyName::new(name).ok());
            if let Some(name) = name.filter(|_| is_file) {
                let info = self.info(&name);
                listed.push(Listed { name, info });
            }
        }
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// What the file tells about a key.
    ///
    /// # Errors
    /// [`KeystoreError::Missing`], [`KeystoreError::Damaged`], [`KeystoreError::Unsupported`], [`KeystoreError::Storage`].
    pub fn info(&self, name: &KeyName) -> Result<KeyInfo, KeystoreError> {
        let file = self.read(name)?;
        Ok(KeyInfo { name: name.clone(), address: file.address(name)?, created: file.created() })
    }

    /// A key's address, without its password.
    ///
    /// # Errors
    /// As [`Keystore::info`], and [`KeystoreError::NoAddress`] where the file does not tell.
    pub fn address(&self, name: &KeyName) -> Result<Address, KeystoreError> {
        self.info(name)?.address.ok_or_else(|| KeystoreError::NoAddress { name: name.clone() })
    }

    /// Decrypts a key. Takes about a second at the standard cost: call it off the async threads.
    ///
    /// # Errors
    /// As [`Keystore::info`], and [`KeystoreError::WrongPassword`].
    pub fn unlock(&self, name: &KeyName, password: &str) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        let file = self.read(name)?;
        let key = file.open(name, password)?;
        let actual = Address::of_key(&key)
            .map_err(|_| KeystoreError::damaged(name, "what it holds is not a secp256k1 key"))?;
        // Somebody could have written another address there, for money to be sent to.
        if file.address(name)?.is_some_and(|told| told != actual) {
            return Err(KeystoreError::damaged(name, "its address is not the address of its key"));
        }
        Ok(key)
    }

    /// A key as hexadecimal, for another program.
    ///
    /// # Errors
    /// As [`Keystore::unlock`].
    pub fn export(&self, name: &KeyName, password: &str) -> Result<SecretHex, KeystoreError> {
        Ok(SecretHex::from_bytes(self.unlock(name, password)?))
    }

    /// A key as the encrypted file that it is, for another program.
    ///
    /// # Errors
    /// As [`Keystore::info`].
    pub fn export_encrypted(&self, name: &KeyName) -> Result<String, KeystoreError> {
        self.read(name)?;
        fs::read_to_string(self.path(name)).map_err(|error| self.storage(name, &error))
    }

    /// Removes a key, for good. Asking whether that is meant is the caller's.
    ///
    /// # Errors
    /// [`KeystoreError::Missing`], [`KeystoreError::Storage`].
    pub fn remove(&self, name: &KeyName) -> Result<(), KeystoreError> {
        fs::remove_file(self.path(name)).map_err(|error| self.storage(name, &error))?;
        file::sync_directory(&self.directory).map_err(|error| self.storage(name, &error))
    }

    fn read(&self, name: &KeyName) -> Result<KeyFile, KeystoreError> {
        let path = self.path(name);
        let size = fs::metadata(&path).map_err(|error| self.storage(name, &error))?.len();
        if size > KeyFile::MAX_BYTES {
            return Err(KeystoreError::damaged(name, "it is far too long for a key file"));
        }
        let json = fs::read(&path).map_err(|error| self.storage(name, &error))?;
        KeyFile::parse(name, &json)
    }

    fn path(&self, name: &KeyName) -> PathBuf {
        self.directory.join(name.as_str())
    }

    fn storage(&self, name: &KeyName, error: &io::Error) -> KeystoreError {
        if error.kind() == io::ErrorKind::NotFound {
            return KeystoreError::Missing {
                name: name.clone(),
                directory: self.directory.display().to_string(),
            };
        }
        KeystoreError::Storage { path: self.path(name).display().to_string(), why: error.to_string() }
    }
}

#[cfg(test)]
mod tests;
