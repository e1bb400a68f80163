//! Where a region is written: a store in memory, and, beside it, one on disk that is opened again after crashes. Both must answer
//! alike, and what they say has changed must add up to what they hold.

use std::fs;
use std::path::{Path, PathBuf};

use model::{Change, Region, Resource, World};
use store::{Store, Watcher, record, world};

pub struct Kept {
    memory: Store,
    /// Every change since the beginning, as the store tells it.
    watcher: Watcher,
    replayed: World,
    disk: Option<Disk>,
}

/// A store in a directory of its own; each crash leaves it behind and goes on from a copy.
struct Disk {
    root: PathBuf,
    life: u32,
    store: Store,
}

impl Kept {
    /// In memory alone, or on disk below this directory, too.
    ///
    /// # Errors
    /// The store's.
    pub fn new(root: Option<&Path>) -> Result<Kept, String> {
        let memory = Store::memory();
        let watcher = memory.watch("", 0).map_err(|error| error.to_string())?;
        let disk = root.map(|root| {
            let root = root.to_owned();
            let store = Store::open(life(&root, 0)).map_err(|error| error.to_string())?;
            Ok::<_, String>(Disk { root, life: 0, store })
        });
        Ok(Kept { memory, watcher, replayed: World::default(), disk: disk.transpose()? })
    }

    /// The revision; both stores must give the same.
    ///
    /// # Errors
    /// A refusal, or two answers.
    pub fn commit(&mut self, region: Region, base: u64, changes: &[Change]) -> Result<u64, String> {
        let txn = world::transaction(region, base, changes).map_err(|error| error.to_string())?;
        let revision = self.memory.commit(txn.clone()).map_err(|error| error.to_string())?;
        if let Some(disk) = &self.disk {
            let on_disk = disk.store.commit(txn).map_err(|error| error.to_string())?;
            if on_disk != revision {
                return Err(format!("in memory this is revision {revision}, on disk {on_disk}"));
            }
        }
        Ok(revision)
    }

    /// What is written. Read back from both stores, and put together from what they told; all must be one.
    ///
    /// # Errors
    /// Two that differ.
    pub fn load(&self) -> Result<World, String> {
        let read = |store: &Store| world::load(&store.snapshot("")).map_err(|error| error.to_string());
        let world = read(&self.memory)?;
        if let Some(disk) = &self.disk {
            let on_disk = read(&disk.store)?;
            if on_disk != world {
                return Err(format!("in memory:\n{world:?}\non disk:\n{on_disk:?}"));
            }
        }
        Ok(world)
    }

    /// What the change log comes to.
    ///
    /// # Errors
    /// A record that cannot be read, or a watch that ended.
    pub fn replay(&mut self) -> Result<World, String> {
        while let Some(change) = self.watcher.try_next().map_err(|error| error.to_string())? {
            let mut changes = Vec::new();
            for event in change.events.iter() {
                changes.push(self.told(event)?);
            }
            self.replayed = self.replayed.apply(&changes);
            self.replayed.revision = change.revision;
        }
        let mut world = self.replayed.clone();
        world.revision = world.revision.max(store::REVISION_FIRST);
        Ok(world)
    }

    fn told(&self, event: &store::Event) -> Result<Change, String> {
        match event {
            store::Event::Put { entry, .. } => {
                let resource = record::decode::<Resource>(&entry.value).map_err(|error| error.to_string())?;
                Ok(Change::Put(resource))
            }
            store::Event::Delete { key } => {
                let named = record::parse(key).map_err(|error| error.to_string())?;
                let is_it = |resource: &Resource| {
                    (resource.key().kind(), resource.key().name().as_str()) == (named.kind, named.id)
                };
                let gone = self.replayed.resources().find(is_it);
                gone.map(|resource| Change::Delete(resource.key())).ok_or_else(|| format!("{key} was not there"))
            }
        }
    }

    /// The process is killed: what is in its files at this moment is what there is.
    ///
    /// # Errors
    /// The disk's, or the store's when it is opened again.
    pub fn crash(&mut self) -> Result<(), String> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        let (from, to) = (life(&disk.root, disk.life), life(&disk.root, disk.life + 1));
        fs::create_dir(&to).map_err(|error| error.to_string())?;
        for entry in fs::read_dir(&from).map_err(|error| error.to_string())? {
            let entry = entry.map_err(|error| error.to_string())?;
            if entry.file_name() != "lock" {
                fs::copy(entry.path(), to.join(entry.file_name())).map_err(|error| error.to_string())?;
            }
        }
        disk.store = Store::open(&to).map_err(|error| error.to_string())?;
        disk.life += 1;
        fs::remove_dir_all(&from).map_err(|error| error.to_string())
    }
}

fn life(root: &Path, number: u32) -> PathBuf {
    root.join(format!("life-{number}"))
}
