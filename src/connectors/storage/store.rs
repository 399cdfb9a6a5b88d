//! Where objects go, behind one contract: a service or a folder.

use std::fmt;

use bytes::Bytes;
use millrace_api::LocalFuture;

/// A part that a multipart upload must have, the last excepted (Amazon's limit).
pub const MIN_PART_BYTES: usize = 5 << 20;
/// Most parts of one object (Amazon's limit).
pub const MAX_PARTS: u32 = 10_000;

/// What an object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub start_offset: i64,
    /// Of the last record in it.
    pub end_offset: i64,
    pub records: u64,
    /// Of the object, after compression.
    pub bytes: u64,
}

/// Why a store did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// The same request may succeed later.
    pub transient: bool,
    /// What failed and, where the user can do something, what.
    pub message: String,
}

impl StoreError {
    pub fn transient(message: impl Into<String>) -> Self {
        Self { transient: true, message: message.into() }
    }

    pub fn fatal(message: impl Into<String>) -> Self {
        Self { transient: false, message: message.into() }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreError {}

/// Keeps objects under keys. An object is there whole or not at all, and durable once `put` or
/// `complete` has answered. Every call may be repeated with the same arguments. None retries by
/// itself, and each ends within the store's own time limit.
pub trait Store {
    /// Whether the store can be used at all; asked once at the task's start.
    fn check(&self) -> LocalFuture<'_, Result<(), StoreError>>;

    /// Writes a whole object.
    fn put<'a>(
        &'a self,
        key: &'a str,
        body: Bytes,
        stamp: &'a Stamp,
    ) -> LocalFuture<'a, Result<(), StoreError>>;

    /// Begins an object of parts; the answer names the upload.
    fn create<'a>(&'a self, key: &'a str) -> LocalFuture<'a, Result<String, StoreError>>;

    /// Sends part `number`, counted from 1; the answer is the part's tag.
    fn upload_part<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
        number: u32,
        body: Bytes,
    ) -> LocalFuture<'a, Result<String, StoreError>>;

    /// Makes the object of its parts, whose tags are given in order.
    fn complete<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
        tags: &'a [String],
        stamp: &'a Stamp,
    ) -> LocalFuture<'a, Result<(), StoreError>>;

    /// Gives up an upload.
    fn abort<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
    ) -> LocalFuture<'a, Result<(), StoreError>>;

    /// Whether parts must be sent one after another.
    fn in_order(&self) -> bool {
        false
    }
}
