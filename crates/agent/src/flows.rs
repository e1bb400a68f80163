//! Tracked flows and what NAT gateways translate, kept where the next agent finds them should this one be killed: memory on a tmpfs, named
//! after this host.
//!
//! It is taken away when the agent ends for good, and stays when it is killed. Without a tmpfs the agent goes on without.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dataplane::Memory;
use linux::memory::{Found, SharedMemory};
use policy::Restored;

use crate::engine::now;
use crate::{Options, chain};

/// Where both are kept; nowhere, if the machine has no such place.
pub(crate) struct Flows {
    tracked: Option<Arc<Words>>,
    translated: Option<Arc<Words>>,
}

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

/// The seed that [`open`] will most likely come to, as long as another agent still holds the memory: what is made with it in time need not be
/// made while nobody carries a packet.
pub(crate) fn seed_of_before(options: &Options) -> Option<u64> {
    let path = |directory: PathBuf| directory.join(format!("{}.{TRACKED}", name(options)));
    directories().into_iter().find_map(|directory| SharedMemory::seed_at(&path(directory)))
}

/// The memory for a data plane like that. Its seed becomes the one that the tracked flows that lie there were made with.
pub(crate) fn open(options: &Options, config: &mut dataplane::Config) -> Flows {
    open_in(&directories(), &name(options), config)
}

/// Where it may be, the best place first.
fn directories() -> Vec<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    ["/run".into()].into_iter().chain(runtime).chain(["/dev/shm".into()]).collect()
}

fn name(options: &Options) -> String {
    format!("{}-{}", options.prefix, options.host)
}

/// How the file of tracked flows ends.
const TRACKED: &str = "flows";

/// What lies in one file.
struct Kind {
    ending: &'static str,
    layout: u64,
    words: usize,
}

fn open_in(directories: &[PathBuf], name: &str, config: &mut dataplane::Config) -> Flows {
    let tracked = Kind { ending: TRACKED, layout: config.memory_layout(), words: config.memory_words() };
    let tracked = open_one(directories, name, &tracked, config.seed);
    let Some(tracked) = tracked else { return Flows { tracked: None, translated: None } };
    config.seed = tracked.shared.seed();
    let translated = Kind { ending: "nat", layout: config.translations_layout(), words: config.translations_words() };
    let translated = open_one(directories, name, &translated, config.seed);
    Flows { tracked: Some(tracked), translated }
}

fn open_one(directories: &[PathBuf], name: &str, kind: &Kind, seed: u64) -> Option<Arc<Words>> {
    let mut why = None;
    for directory in directories {
        let path: &Path = &directory.join(format!("{name}.{}", kind.ending));
        match SharedMemory::open(path, kind.layout, kind.words, seed) {
            Ok((shared, found)) => {
                let path = path.display();
                match found {
                    Found::Kept => tracing::info!(%path, "what an earlier run kept is here"),
                    Found::New => tracing::debug!(%path, "what is tracked is kept here"),
                    Found::Foreign => {
                        tracing::warn!(%path, "what was kept is of another version or start of the machine; begun anew");
                    }
                }
                return Some(Arc::new(Words { shared, is_full: AtomicBool::new(false) }));
            }
            Err(error) => why = Some(chain(&error)),
        }
    }
    tracing::warn!(why, kind = kind.ending, "what is tracked will not survive this agent: it finds no place for it");
    None
}

impl Flows {
    /// The data plane begins with what is kept, and keeps what it tracks and translates. To be called before the first frame.
    pub(crate) fn restore(&self, plane: &dataplane::Shared) {
        if let Some(words) = &self.tracked {
            let memory: Arc<dyn Memory> = words.clone();
            tell("tracked flows", &plane.remember(&memory, now()));
        }
        if let Some(words) = &self.translated {
            let memory: Arc<dyn Memory> = words.clone();
            tell("translations", &plane.remember_translations(&memory, now()));
        }
    }

    /// No packet is carried any more. Whoever comes after this agent may take what is kept; if nobody does, it is taken away.
    pub(crate) fn close(&self, comes_another: bool) {
        for words in [&self.tracked, &self.translated].into_iter().flatten() {
            let closed = if comes_another { words.shared.release() } else { words.shared.remove() };
            if let Err(error) = closed {
                tracing::warn!(%error, "the memory of tracked flows is left as it is");
            }
        }
    }
}

fn tell(what: &str, restored: &Restored) {
    let Restored { flows, ended, refused } = restored;
    if flows + ended + refused > 0 {
        tracing::info!(flows, ended, refused, "{what} are known again");
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
        let files = || ["x.flows", "x.nat"].map(|name| dir.path().join(name).exists());
        let mut first = config(1);
        let flows = open_in(&directories, "x", &mut first);
        assert!(flows.tracked.is_some() && flows.translated.is_some());
        assert_eq!(files(), [true; 2]);
        let plane = dataplane::Shared::new(first);
        flows.restore(&plane);
        assert_eq!(SharedMemory::seed_at(&dir.path().join("x.flows")), Some(1), "while it is held");
        flows.close(true);
        let mut second = config(2);
        let flows = open_in(&directories, "x", &mut second);
        assert_eq!(second.seed, 1, "the shards are the same again");
        flows.close(false);
        assert_eq!(files(), [false; 2]);
        let none = open_in(&directories[..2], "x", &mut config(3));
        assert!(none.tracked.is_none() && none.translated.is_none(), "it goes on without");
    }
}
