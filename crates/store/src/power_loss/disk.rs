//! A disk that forgets whatever was not synced: the three files of a directory in memory.
//!
//! It keeps a log of writes, syncs and, from the test, of groups begun and acknowledged. Cutting the power anywhere in
//! that log leaves of each file everything before its last sync, and any sectors of what was written after it.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use redb::{Database, StorageBackend};

use crate::embedded::{Embedded, StartError, make_journal};
use crate::group::Backend;
use crate::journal::File;
use crate::ledger::{Ledger, Snapshot};
use crate::tables::Tables;
use crate::{Options, Revision, Store};

pub(super) const JOURNALS: &[usize] = &[0, 1];
pub(super) const TABLES: &[usize] = &[2];
const FILES: usize = 3;
/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

pub(super) type Images = [Vec<u8>; FILES];

#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(usize, u64, Vec<u8>),
    Length(usize, u64),
    Sync(usize),
    /// The tables of a new store are there, as they are before their file gets its name.
    Made,
    /// A group was handed to the store that leads to this revision.
    Begun(Revision),
    Acknowledged(Revision),
}

/// What becomes of a file's syncs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum NextSync {
    #[default]
    Works,
    IsSlow,
    /// Until something else is set.
    Waits,
    Fails,
    Panics,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What it held at the beginning of the log.
    base: Images,
    images: Images,
    log: Vec<Step>,
    next_sync: [NextSync; FILES],
}

#[derive(Debug)]
struct DiskFile {
    disk: Disk,
    file: usize,
}

impl Disk {
    pub(super) fn with(images: Images) -> Self {
        let state = State { base: images.clone(), images, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// A store with journals of the default size.
    pub(super) fn store(&self) -> Store {
        self.open(Options::default().journal_bytes_max).unwrap()
    }

    /// Opens the store on this disk as [`Store::open`] does a directory, and makes it if the disk is blank.
    pub(super) fn open(&self, journal_bytes_max: u64) -> Result<Store, StartError> {
        let is_blank = self.images()[TABLES[0]].is_empty();
        let database = Database::builder().create_with_backend(self.file(TABLES[0])).unwrap();
        let tables = Tables::new(database);
        if is_blank {
            tables.initialise(&Snapshot::empty()).unwrap();
            self.note(Step::Made);
        }
        let content = tables.content().unwrap();
        let files = [0, 1].map(|file| -> File { Box::new(self.file(file)) });
        let generation = content.generation.map_or_else(|| make_journal(&files, 0x5a17), Ok)?;
        let (embedded, content) = Embedded::start(tables, content, generation, files, journal_bytes_max, None)?;
        let ledger = Ledger::new(content.revision, content.entries, Options::default());
        Ok(Store::new(ledger, Backend::Embedded(Box::new(embedded))))
    }

    fn file(&self, file: usize) -> DiskFile {
        DiskFile { disk: self.clone(), file }
    }

    pub(super) fn note(&self, step: Step) {
        self.0.lock().unwrap().log.push(step);
    }

    pub(super) fn images(&self) -> Images {
        self.0.lock().unwrap().images.clone()
    }

    pub(super) fn base(&self) -> Images {
        self.0.lock().unwrap().base.clone()
    }

    pub(super) fn log(&self) -> Vec<Step> {
        self.0.lock().unwrap().log.clone()
    }

    pub(super) fn syncs(&self, files: &[usize]) -> usize {
        self.0.lock().unwrap().log.iter().filter(|step| matches!(step, Step::Sync(f) if files.contains(f))).count()
    }

    pub(super) fn set(&self, files: &[usize], next_sync: NextSync) {
        files.iter().for_each(|file| self.0.lock().unwrap().next_sync[*file] = next_sync);
    }
}

impl StorageBackend for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().unwrap().images[self.file].len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.disk.0.lock().unwrap();
        let start = offset as usize;
        let bytes = disk.images[self.file].get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Step::Length(self.file, len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let next_sync = || self.disk.0.lock().unwrap().next_sync[self.file];
        while next_sync() == NextSync::Waits {
            thread::sleep(Duration::from_millis(1));
        }
        match next_sync() {
            NextSync::Works | NextSync::Waits => {}
            NextSync::IsSlow => thread::sleep(Duration::from_millis(4)),
            NextSync::Fails => return Err(io::ErrorKind::StorageFull.into()),
            NextSync::Panics => panic!("as told"),
        }
        self.disk.note(Step::Sync(self.file));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Step::Write(self.file, offset, data.to_vec()));
        Ok(())
    }
}

impl DiskFile {
    fn change(&self, step: Step) {
        let mut disk = self.disk.0.lock().unwrap();
        apply(&mut disk.images, &step, &mut || true);
        disk.log.push(step);
    }
}

/// Those sectors of a step that are `kept`.
fn apply(images: &mut Images, step: &Step, kept: &mut dyn FnMut() -> bool) {
    match step {
        Step::Write(file, offset, data) => {
            let (image, mut at, mut rest) = (&mut images[*file], *offset as usize, data.as_slice());
            while !rest.is_empty() {
                let (sector, after) = rest.split_at(rest.len().min(SECTOR_BYTES - at % SECTOR_BYTES));
                let end = at + sector.len();
                if kept() {
                    image.resize(image.len().max(end), 0);
                    image[at..end].copy_from_slice(sector);
                }
                (at, rest) = (end, after);
            }
        }
        Step::Length(file, len) if kept() => images[*file].resize(*len as usize, 0),
        Step::Length(..) | Step::Sync(_) | Step::Made | Step::Begun(_) | Step::Acknowledged(_) => {}
    }
}

/// The disk after the power failed at the end of `log`: of each file all that was synced, and of the rest what `kept`
/// says.
pub(super) fn after_power_loss(base: Images, log: &[Step], mut kept: impl FnMut() -> bool) -> Images {
    let synced: [usize; FILES] = std::array::from_fn(|file| {
        log.iter().rposition(|step| matches!(step, Step::Sync(f) if *f == file)).unwrap_or(0)
    });
    let mut images = base;
    for (at, step) in log.iter().enumerate() {
        match step {
            Step::Write(file, ..) | Step::Length(file, _) if at >= synced[*file] => {
                apply(&mut images, step, &mut kept);
            }
            _ => apply(&mut images, step, &mut || true),
        }
    }
    images
}
