//! The pairs of a film's tree, as a web server has them: fetched in pages as they are needed.
//!
//! 64 KiB of pairs are those of 16 MiB of film, so that a viewer who plays on asks for them now and then, and
//! one who jumps needs the pages on the way to the root, most of which are known already.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use nearcast_content::{pairs_for, pairs_len};
use nearcast_protocol::Geometry;
use tokio::sync::OnceCell;
use url::Url;

use super::remote::{Pass, RemoteFile, SourceError};
use crate::web::Reach;

const PAGE: u64 = 64 * 1024;
/// At most 8 MiB are kept: of larger trees the lowest pages go, and are fetched anew if they must.
const MOST_PAGES: usize = 128;
const PAIR: usize = 64;

pub(crate) struct Proofs {
    file: RemoteFile,
    geometry: Geometry,
    pages: Mutex<BTreeMap<u64, Arc<OnceCell<Bytes>>>>,
}

/// The pages that one run needs.
pub(crate) struct Pages(BTreeMap<u64, Bytes>);

impl Pages {
    pub(crate) fn pair(&self, at: u64) -> Option<[u8; PAIR]> {
        let page = self.0.get(&(at / PAGE))?;
        let start = usize::try_from(at % PAGE).ok()?;
        page.get(start..start + PAIR)?.try_into().ok()
    }
}

impl Proofs {
    /// Those beside a film's own address.
    pub(crate) fn beside(film: &Url, geometry: Geometry, reach: Reach, web: reqwest::Client) -> Self {
        let mut url = film.clone();
        url.set_path(&format!("{}.obao4", film.path()));
        Self {
            file: RemoteFile::new(url, pairs_len(geometry), reach, web),
            geometry,
            pages: Mutex::default(),
        }
    }

    /// What is needed to verify a run.
    pub(crate) async fn of(&self, run: &Range<u64>, pass: &Pass) -> Result<Pages, SourceError> {
        let wanted: BTreeSet<u64> =
            pairs_for(self.geometry, run).into_iter().map(|pair| pair.start / PAGE).collect();
        let mut found = BTreeMap::new();
        for page in wanted {
            let place = self.place(page);
            let bytes = place.get_or_try_init(|| self.fetch(page, pass)).await?;
            found.insert(page, bytes.clone());
        }
        Ok(Pages(found))
    }

    /// Whoever needs a page that another fetches waits for that.
    fn place(&self, page: u64) -> Arc<OnceCell<Bytes>> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.len() >= MOST_PAGES && !pages.contains_key(&page) {
            pages.pop_first();
        }
        Arc::clone(pages.entry(page).or_default())
    }

    async fn fetch(&self, page: u64, pass: &Pass) -> Result<Bytes, SourceError> {
        let start = page * PAGE;
        let range = start..(start + PAGE).min(pairs_len(self.geometry));
        match self.file.read(range, pass).await {
            Ok(bytes) => Ok(bytes.freeze()),
            Err(SourceError::Private) => Err(SourceError::Private),
            Err(why) => {
                let url = Box::new(self.file.url().clone());
                Err(SourceError::NoProofs { url, why: Box::new(why) })
            }
        }
    }
}
