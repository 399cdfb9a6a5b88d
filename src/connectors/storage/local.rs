//! Objects as files of a local folder: the same layout without a service.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use millrace_api::LocalFuture;
use millrace_net::offload;
use millrace_net::rt::AppendFile;

use super::store::{Stamp, Store, StoreError};

/// Bytes per write.
const CHUNK: usize = 512 << 10;

/// Keeps each object as a file below a folder: written under another name, made durable, then renamed
/// into place.
pub struct LocalStore {
    root: PathBuf,
    /// Files that are being written, by their temporary path.
    open: RefCell<HashMap<String, AppendFile>>,
}

impl LocalStore {
    /// `root` is the bucket's folder; it is made if it is not there.
    pub fn new(root: PathBuf) -> Self {
        Self { root, open: RefCell::default() }
    }

    /// The key's path. Segments that would leave the folder are written out (`%2E%2E`).
    fn path(&self, key: &str) -> PathBuf {
        let mut path = self.root.clone();
        for segment in key.split('/').filter(|segment| !segment.is_empty()) {
            match segment {
                "." => path.push("%2E"),
                ".." => path.push("%2E%2E"),
                other => path.push(other.replace('\0', "%00")),
            }
        }
        path
    }

    fn temporary(&self, key: &str) -> PathBuf {
        let path = self.path(key);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        path.with_file_name(format!(".{}.incomplete", name.unwrap_or_default()))
    }

    async fn begin(&self, key: &str) -> Result<String, StoreError> {
        let temporary = self.temporary(key);
        let failed = |error| wrong("cannot create", &temporary, &error);
        if let Some(folder) = temporary.parent() {
            let wanted = folder.to_owned();
            off_core(move || std::fs::create_dir_all(wanted))
                .await
                .map_err(|error| wrong("cannot create", folder, &error))?;
        }
        let mut file = AppendFile::open(&temporary).await.map_err(failed)?;
        file.truncate(0).await.map_err(failed)?;
        let name = temporary.to_string_lossy().into_owned();
        self.open.borrow_mut().insert(name.clone(), file);
        Ok(name)
    }

    async fn append(&self, upload: &str, body: &Bytes) -> Result<(), StoreError> {
        let file = self.open.borrow_mut().remove(upload);
        let mut file = file.ok_or_else(|| StoreError::fatal(format!("{upload} is not open")))?;
        let end = file.len();
        let mut outcome = Ok(());
        for chunk in body.chunks(CHUNK) {
            outcome = file.append(chunk.to_vec()).await;
            if outcome.is_err() {
                break;
            }
        }
        if outcome.is_err() {
            outcome = outcome.and(file.truncate(end).await);
        }
        self.open.borrow_mut().insert(upload.to_owned(), file);
        outcome.map_err(|error| wrong("cannot write", Path::new(upload), &error))
    }

    async fn commit(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let file = self.open.borrow_mut().remove(upload);
        let target = self.path(key);
        let failed = |error| wrong("cannot complete", &target, &error);
        if let Some(file) = file {
            file.sync().await.map_err(failed)?;
            file.close().await.map_err(failed)?;
        }
        let (from, to) = (PathBuf::from(upload), target.clone());
        let rename = move || {
            std::fs::rename(from, &to)?;
            // The new name is durable once the folder is.
            to.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
        };
        off_core(rename).await.map_err(failed)
    }
}

/// Carries out what may wait for the disk.
async fn off_core(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    offload::run(work).await?
}

fn wrong(what: &str, path: &Path, error: &io::Error) -> StoreError {
    use io::ErrorKind;
    let message = format!("{what} {}: {error}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::NotADirectory => {
            StoreError::fatal(message)
        }
        _ => StoreError::transient(message),
    }
}

impl Store for LocalStore {
    fn check(&self) -> LocalFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            let root = self.root.clone();
            off_core(move || std::fs::create_dir_all(root))
                .await
                .map_err(|error| wrong("cannot create", &self.root, &error))
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        body: Bytes,
        _: &'a Stamp,
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let upload = self.begin(key).await?;
            self.append(&upload, &body).await?;
            self.commit(key, &upload).await
        })
    }

    fn create<'a>(&'a self, key: &'a str) -> LocalFuture<'a, Result<String, StoreError>> {
        Box::pin(self.begin(key))
    }

    fn upload_part<'a>(
        &'a self,
        _: &'a str,
        upload: &'a str,
        _: u32,
        body: Bytes,
    ) -> LocalFuture<'a, Result<String, StoreError>> {
        Box::pin(async move { self.append(upload, &body).await.map(|()| String::new()) })
    }

    fn complete<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
        _: &'a [String],
        _: &'a Stamp,
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(self.commit(key, upload))
    }

    fn abort<'a>(&'a self, _: &'a str, upload: &'a str) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.open.borrow_mut().remove(upload);
            let path = PathBuf::from(upload);
            off_core(move || std::fs::remove_file(path))
                .await
                .map_err(|error| wrong("cannot remove", Path::new(upload), &error))
        })
    }

    fn in_order(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cannot_leave_the_folder() {
        let store = LocalStore::new(PathBuf::from("/data/bucket"));
        assert_eq!(store.path("a/../../b//c"), Path::new("/data/bucket/a/%2E%2E/%2E%2E/b/c"));
        assert_eq!(store.temporary("a/b.json"), Path::new("/data/bucket/a/.b.json.incomplete"));
    }
}
