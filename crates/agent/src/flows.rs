//! Tracked flows, kept where the next agent finds them should this one be killed: memory on a tmpfs, named after this host.
//!
//! It is taken away when the agent ends for good, and stays when it is killed. Without a tmpfs the agent goes on without.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dataplane::Memory;
use linux::memory::{Found, SharedMemory};

use crate::engine::now;
use crate::{Options, chain};

/// Where flows are kept; nowhere, if the machine has no such place.
pub(crate) struct Flows(Option<Arc<Words>>);

#[derive(Debug)]
struct Words {
    shared: SharedMemory,
    is_full: AtomicBool,
}

impl Memory for Words {
    fn words(&self) -> &[AtomicU64] {
        self.shared.words()
    }

    fn make_room(&self, words: Range<usize>) -> bool {
        let is_made = self.shared.make_room(words);
        if !is_made && !self.is_full.swap(true, Ordering::Relaxed) {
            tracing::warn!("the tmpfs of tracked flows is full: some will not survive this agent");
        }
        is_made
    }
}

/// The memory for a data plane like that. Its seed becomes the one that what lies there was made with.
pub(crate) fn open(options: &Options, config: &mut dataplane::Config) -> Flows {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let directories: Vec<PathBuf> = ["/run".into()].into_iter().chain(runtime).chain(["/dev/shm".into()]).collect();
    open_in(&directories, &format!("{}-{}.flows", options.prefix, options.host), config)
}

fn open_in(directories: &[PathBuf], name: &str, config: &mut dataplane::Config) -> Flows {
    let mut why = None;
    for directory in directories {
        let path: &Path = &directory.join(name);
        match SharedMemory::open(path, config.memory_layout(), config.memory_words(), config.seed) {
            Ok((shared, found)) => {
                config.seed = shared.seed();
                let path = path.display();
                match found {
                    Found::Kept => tracing::info!(%path, "tracked flows of an earlier run are here"),
                    Found::New => tracing::debug!(%path, "tracked flows are kept here"),
                    Found::Foreign => {
                        tracing::warn!(%path, "what was kept is of another version or start of the machine; begun anew");
                    }
                }
                return Flows(Some(Arc::new(Words { shared, is_full: AtomicBool::new(false) })));
            }
            Err(error) => why = Some(chain(&error)),
        }
    }
    tracing::warn!(why, "tracked flows will not survive this agent: it finds no place for them");
    Flows(None)
}

impl Flows {
    /// The data plane begins with what is kept, and keeps what it tracks. To be called before the first frame.
    pub(crate) fn restore(&self, plane: &dataplane::Shared) {
        let Some(words) = &self.0 else { return };
        let memory: Arc<dyn Memory> = words.clone();
        let policy::Restored { flows, ended, refused } = plane.remember(&memory, now());
        if flows + ended + refused > 0 {
            tracing::info!(flows, ended, refused, "tracked flows are known again");
        }
    }

    /// No packet is carried any more. Whoever comes after this agent may take what is kept; if nobody does, it is taken away.
    pub(crate) fn close(&self, comes_another: bool) {
        let Some(words) = &self.0 else { return };
        let closed = if comes_another { words.shared.release() } else { words.shared.remove() };
        if let Err(error) = closed {
            tracing::warn!(%error, "the memory of tracked flows is left as it is");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tmpfs_is_taken_with_its_seed_and_given_back() {
        let dir = tempfile::Builder::new().prefix("peerway-test-").tempdir_in("/dev/shm").unwrap();
        let no_tmpfs = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let directories = [dir.path().join("missing"), no_tmpfs, dir.path().into()];
        let config = |seed| dataplane::Config::new(crate::testing::host("host-1"), seed);
        let mut first = config(1);
        let flows = open_in(&directories, "x.flows", &mut first);
        assert!(flows.0.is_some() && dir.path().join("x.flows").exists());
        let plane = dataplane::Shared::new(first);
        flows.restore(&plane);
        flows.close(true);
        let mut second = config(2);
        let flows = open_in(&directories, "x.flows", &mut second);
        assert_eq!(second.seed, 1, "the shards are the same again");
        flows.close(false);
        assert!(!dir.path().join("x.flows").exists());
        assert!(open_in(&directories[..2], "x.flows", &mut config(3)).0.is_none(), "it goes on without");
    }
}
