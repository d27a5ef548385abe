//! Which place an archive is at: a folder, or a bucket behind a URL.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, RetryConfig};

use super::ArchiveError;
use super::https::Https;

/// How a bucket is asked again after a failure that may pass: within what a reader waits.
const RETRIES: usize = 3;
const RETRY_FOR: Duration = Duration::from_secs(6);

/// Where an archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchivePlace {
    /// A folder of this host; made if it is not there.
    Folder(PathBuf),
    /// A bucket of any store that speaks S3, as `s3://bucket/prefix`.
    Bucket {
        url: String,
        /// Credentials, region and endpoint, under the names that other tools for S3 use:
        /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT` and, for an
        /// endpoint without TLS, `AWS_ALLOW_HTTP`.
        access: Access,
    },
}

/// Settings of a bucket by name; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Access(Vec<(AmazonS3ConfigKey, String)>);

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.0.iter().map(|(key, _)| key);
        f.debug_list().entries(names).finish()
    }
}

impl ArchivePlace {
    /// Reads the setting: a URL, or else a folder. A bucket's access comes from the environment.
    pub fn parse(
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ArchiveError> {
        match text.split_once("://") {
            None => Ok(Self::Folder(text.into())),
            Some(("s3", rest)) if !rest.starts_with('/') && !rest.is_empty() => {
                let known = environment.filter_map(|(name, value)| {
                    let name = name.strip_prefix("AWS_")?.to_ascii_lowercase();
                    Some((format!("aws_{name}").parse().ok()?, value))
                });
                Ok(Self::Bucket {
                    url: text.into(),
                    access: Access(known.collect()),
                })
            }
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Folder(path.into())),
            Some(_) => Err(cannot_open(text, "it is no s3:// or file:// URL")),
        }
    }

    /// Opens it; the second part is the prefix of all names in it.
    pub(super) fn open(&self) -> Result<(Arc<dyn ObjectStore>, String), ArchiveError> {
        match self {
            Self::Folder(path) => Ok((open_folder(path)?, String::new())),
            Self::Bucket { url, access } => {
                let (_, path) = url.split_once("://").unwrap_or_default();
                let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
                let retry = RetryConfig {
                    max_retries: RETRIES,
                    retry_timeout: RETRY_FOR,
                    ..RetryConfig::default()
                };
                let builder = access
                    .0
                    .iter()
                    .fold(AmazonS3Builder::new(), |builder, (key, value)| {
                        builder.with_config(*key, value)
                    });
                let store = builder
                    .with_bucket_name(bucket)
                    .with_http_connector(Https)
                    .with_retry(retry)
                    .build()
                    .map_err(|error| cannot_open(url, error))?;
                Ok((Arc::new(store), prefix.trim_matches('/').into()))
            }
        }
    }
}

/// Written objects are synced, and so are the folders that name them.
fn open_folder(path: &Path) -> Result<Arc<dyn ObjectStore>, ArchiveError> {
    std::fs::create_dir_all(path).map_err(|error| cannot_open(path.display(), error))?;
    let store = LocalFileSystem::new_with_prefix(path)
        .map_err(|error| cannot_open(path.display(), error))?;
    Ok(Arc::new(store.with_fsync(true)))
}

fn cannot_open(place: impl Display, reason: impl Display) -> ArchiveError {
    ArchiveError::Place {
        place: place.to_string(),
        reason: reason.to_string(),
    }
}
