//! Which bytes are a record of the journal, and which are not?
//!
//! ```text
//!  0      4       8                16       24       32         40
//!  │ crc  │ count │ salt+generation│ length │ after  │ revision │ count writes ... │ zeros up to a multiple of 512
//!
//!  a write: key's length (2) │ 1 │ key │ create revision, mod revision, version (8 each) │ value's length (4) │ value
//!           key's length (2) │ 0 │ key                                                     (deleted)
//! ```
//!
//! Numbers are little-endian. The CRC-32 covers the record's position in the file and all of the record behind the CRC.
//! A file is written over in each of its lives, so what stands behind the newest record is what an earlier life left:
//! its generation is another one, and the salt keeps any caller from writing values that look like records.
//!
//! One record is one group of transactions: it leads from revision `after` to `revision`, all or nothing.

use crate::Value;
use crate::key::Key;
use crate::ledger::{Entry, Writes};
use crate::txn::Revision;

/// What comes before the first record: a block of its own, so that no write of records touches it.
pub(crate) const HEADER_BYTES: usize = 4096;
/// Records are as long as whole blocks, so that each can be written past the page cache; see [`crate::direct`].
pub(crate) const BLOCK_BYTES: usize = 512;
/// Records begin at multiples of this: earlier versions did not fill blocks.
const ALIGNMENT: usize = 8;
const FRAME_BYTES: usize = 40;
const CRC_BYTES: usize = 4;
/// The last one is the version of this format.
const MAGIC: &[u8; 8] = b"peerway\x01";

/// One life of a journal file; generation `n` lives in file `n % 2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    /// The store's own random number.
    pub(crate) salt: u64,
    /// Far below overflow; see [`crate::tables::NUMBER_MAX`].
    pub(crate) number: u64,
}

impl Generation {
    pub(crate) fn next(self) -> Self {
        Self { number: self.number + 1, ..self }
    }

    /// Which of the two files it lives in.
    pub(crate) fn index(self) -> usize {
        usize::from(self.number % 2 == 1)
    }

    fn mark(self) -> u64 {
        self.salt.wrapping_add(self.number)
    }
}

/// A group of transactions as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The revision before.
    pub(crate) after: Revision,
    /// The revision afterwards.
    pub(crate) revision: Revision,
    /// The last word on every key written.
    pub(crate) writes: Writes,
}

/// How file `index` of a store begins.
pub(crate) fn header(salt: u64, index: usize) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend(salt.to_le_bytes());
    header.extend((index as u64).to_le_bytes());
    header.extend(crc32fast::hash(&header).to_le_bytes());
    header
}

/// Whether a file begins as it should.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_header(bytes: &[u8], salt: u64, index: usize) -> Result<(), String> {
    let expected = header(salt, index);
    let found = bytes.get(..expected.len()).ok_or("its header is cut off")?;
    let (content, crc) = found.split_at(expected.len() - size_of::<u32>());
    if found == expected {
        return Ok(());
    }
    let is_whole = content.starts_with(MAGIC) && crc32fast::hash(content).to_le_bytes() == crc;
    Err(if is_whole { "it is the journal of another store" } else { "its header is damaged" }.to_owned())
}

/// Appends a record to the empty `buffer`, to be sealed where it is written. It fills whole blocks.
pub(crate) fn encode(buffer: &mut Vec<u8>, after: Revision, revision: Revision, writes: &Writes) {
    buffer.extend([0; CRC_BYTES]);
    // Counts and lengths fit: a group and its keys and values are bounded by memory and by `Txn::check`.
    buffer.extend((writes.len() as u32).to_le_bytes());
    buffer.extend([0; 16]);
    buffer.extend(after.to_le_bytes());
    buffer.extend(revision.to_le_bytes());
    for (key, entry) in writes {
        buffer.extend((key.as_str().len() as u16).to_le_bytes());
        buffer.push(u8::from(entry.is_some()));
        buffer.extend(key.as_str().as_bytes());
        if let Some(entry) = entry {
            for number in [entry.create_revision, entry.mod_revision, entry.version] {
                buffer.extend(number.to_le_bytes());
            }
            buffer.extend((entry.value.len() as u32).to_le_bytes());
            buffer.extend(&*entry.value);
        }
    }
    buffer.resize(buffer.len().next_multiple_of(BLOCK_BYTES), 0);
}

/// Makes an encoded record one of `generation` at `position` of its file.
pub(crate) fn seal(record: &mut [u8], generation: Generation, position: u64) {
    let length = record.len() as u64;
    record[8..16].copy_from_slice(&generation.mark().to_le_bytes());
    record[16..24].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(position, &record[CRC_BYTES..]);
    record[..CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
}

/// The records of `generation` in a file, the first of which follows revision `after`. What stands behind the last one
/// was never acknowledged: each record is durable before the next is begun.
///
/// # Errors
/// What shows that something acknowledged is missing.
pub(crate) fn replay(file: &[u8], generation: Generation, mut after: Revision) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    let mut position = HEADER_BYTES;
    while let Some(frame) = Frame::at(file, position, generation) {
        frame.check_generation()?;
        if frame.after != after {
            return Err(format!("the record at byte {position} follows revision {}, not {after}", frame.after));
        }
        let record = frame.record().ok_or_else(|| format!("the record at byte {position} makes no sense"))?;
        after = record.revision;
        records.push(record);
        position = frame.end;
    }
    let behind = (position..file.len()).step_by(ALIGNMENT).find_map(|at| Frame::at(file, at, generation));
    behind.map_or(Ok(()), |frame| {
        frame.check_generation()?;
        Err(format!("the record at byte {position} is damaged, and the one at byte {} is not", frame.position))
    })?;
    Ok(records)
}

/// A record whose checksum is right.
struct Frame<'a> {
    position: usize,
    /// Its generation, less the one looked for; an earlier one is no record at all.
    generations_ahead: u64,
    count: u32,
    after: Revision,
    revision: Revision,
    writes: &'a [u8],
    end: usize,
}

impl<'a> Frame<'a> {
    fn at(file: &'a [u8], position: usize, generation: Generation) -> Option<Self> {
        let mut rest = file.get(position..)?;
        let crc = u32::from_le_bytes(*take(&mut rest)?);
        let count = u32::from_le_bytes(*take(&mut rest)?);
        let mark = number(&mut rest)?;
        // Nearly everything that is no record ends here, before any checksum is computed.
        let generations_ahead = mark.wrapping_sub(generation.mark());
        if generations_ahead > u64::from(u32::MAX) {
            return None;
        }
        let length = usize::try_from(number(&mut rest)?).ok()?;
        let (after, revision) = (number(&mut rest)?, number(&mut rest)?);
        let writes = rest.get(..length.checked_sub(FRAME_BYTES)?)?;
        let end = position + length;
        let is_sound =
            length.is_multiple_of(ALIGNMENT) && checksum(position as u64, &file[position + CRC_BYTES..end]) == crc;
        is_sound.then_some(Self { position, generations_ahead, count, after, revision, writes, end })
    }

    fn check_generation(&self) -> Result<(), String> {
        if self.generations_ahead == 0 {
            return Ok(());
        }
        let (position, ahead) = (self.position, self.generations_ahead);
        Err(format!("the record at byte {position} is newer than the rest of the store, by {ahead} generations"))
    }

    /// None if no store could have written it.
    fn record(&self) -> Option<Record> {
        let mut rest = self.writes;
        let mut writes = Writes::new();
        for _ in 0..self.count {
            let key_length = u16::from_le_bytes(*take(&mut rest)?);
            let [tag] = *take(&mut rest)?;
            let key = str::from_utf8(rest.split_off(..usize::from(key_length))?).ok()?;
            let entry = match tag {
                0 => None,
                1 => Some(self.entry(&mut rest)?),
                _ => return None,
            };
            writes.insert(Key::new(key).ok()?, entry);
        }
        let is_whole = rest.len() < BLOCK_BYTES && self.after < self.revision;
        is_whole.then_some(Record { after: self.after, revision: self.revision, writes })
    }

    fn entry(&self, rest: &mut &[u8]) -> Option<Entry> {
        let (create_revision, mod_revision, version) = (number(rest)?, number(rest)?, number(rest)?);
        let length = usize::try_from(u32::from_le_bytes(*take(rest)?)).ok()?;
        let value = Value::from(rest.split_off(..length)?);
        let entry = Entry { value, create_revision, mod_revision, version };
        (entry.is_possible_at(self.revision) && mod_revision > self.after).then_some(entry)
    }
}

fn checksum(position: u64, record: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&position.to_le_bytes());
    crc.update(record);
    crc.finalize()
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(first)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const SALT: u64 = 0x0123_4567_89ab_cdef;
    const NOW: Generation = Generation { salt: SALT, number: 8 };

    /// A file with a record for each step, each in the generation given.
    fn file(records: &[(Record, Generation)]) -> Vec<u8> {
        let mut file = header(SALT, 0);
        file.resize(HEADER_BYTES, 0);
        for (record, generation) in records {
            let mut bytes = Vec::new();
            encode(&mut bytes, record.after, record.revision, &record.writes);
            seal(&mut bytes, *generation, file.len() as u64);
            file.extend(bytes);
        }
        file
    }

    fn put(after: Revision, value: &[u8]) -> Record {
        let revision = after + 1;
        let entry = Entry { value: value.into(), create_revision: revision, mod_revision: revision, version: 1 };
        Record { after, revision, writes: BTreeMap::from([(Key::new("k").unwrap(), Some(entry))]) }
    }

    fn puts(count: u64) -> Vec<(Record, Generation)> {
        (1..=count).map(|after| (put(after, &[7; 30]), NOW)).collect()
    }

    fn records(of: &[(Record, Generation)]) -> Vec<Record> {
        of.iter().map(|(record, _)| record.clone()).collect()
    }

    #[test]
    fn a_file_of_another_store_is_named() {
        let file = file(&[]);
        check_header(&file, SALT, 0).unwrap();
        for (salt, index) in [(SALT, 1), (SALT + 1, 0)] {
            assert_eq!(check_header(&file, salt, index).unwrap_err(), "it is the journal of another store");
        }
        for at in 0..header(SALT, 0).len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert_eq!(check_header(&damaged, SALT, 0).unwrap_err(), "its header is damaged", "{at}");
            assert_eq!(check_header(&file[..at], SALT, 0).unwrap_err(), "its header is cut off");
        }
    }

    #[test]
    fn what_an_earlier_life_left_is_no_record() {
        let earlier = Generation { number: 6, ..NOW };
        let mut old = puts(4);
        old.iter_mut().for_each(|(_, generation)| *generation = earlier);
        let mut bytes = file(&old);
        assert_eq!(replay(&bytes, NOW, 1), Ok(Vec::new()));
        let new = file(&puts(2));
        bytes[..new.len()].copy_from_slice(&new);
        assert_eq!(replay(&bytes, NOW, 1), Ok(records(&puts(2))));
    }

    #[test]
    fn a_record_elsewhere_is_no_record() {
        let whole = file(&puts(1));
        let mut moved = whole.clone();
        moved.splice(HEADER_BYTES..HEADER_BYTES, [0; ALIGNMENT]);
        assert_eq!(replay(&moved, NOW, 1), Ok(Vec::new()));
    }

    #[test]
    fn a_store_older_than_its_journal_is_named() {
        let error = replay(&file(&puts(2)), Generation { number: 6, ..NOW }, 1).unwrap_err();
        assert_eq!(error, "the record at byte 4096 is newer than the rest of the store, by 2 generations");
    }

    #[test]
    fn a_hole_is_named() {
        let error = replay(&file(&puts(2)[1..]), NOW, 1).unwrap_err();
        assert_eq!(error, "the record at byte 4096 follows revision 2, not 1");
        assert!(replay(&file(&puts(1)), NOW, 2).is_err(), "nor is anything repeated");
    }

    #[test]
    fn damage_before_a_sound_record_is_named_and_after_the_last_it_was_never_acknowledged() {
        let all = puts(3);
        let whole = file(&all);
        let last = file(&all[..2]).len();
        for at in HEADER_BYTES..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            match replay(&damaged, NOW, 1) {
                Ok(found) => assert!(at >= last && found == records(&all[..2]), "{at}"),
                Err(error) => assert!(at < last && error.contains("is damaged, and the one at byte"), "{at}: {error}"),
            }
        }
    }

    #[test]
    fn a_sound_record_that_makes_no_sense_is_named() {
        let with = |change: fn(&mut Entry)| {
            let mut record = put(3, b"v");
            record.writes.values_mut().flatten().for_each(change);
            record
        };
        let backwards = Record { revision: 3, ..put(3, b"v") };
        let senseless =
            [with(|e| e.version = 0), with(|e| e.mod_revision = 3), with(|e| e.create_revision = 5), backwards];
        for record in senseless {
            let error = replay(&file(&[(record.clone(), NOW)]), NOW, 3).unwrap_err();
            assert_eq!(error, "the record at byte 4096 makes no sense", "{record:?}");
        }
    }

    fn any_record(after: Revision) -> impl Strategy<Value = Record> {
        let value = prop::collection::vec(any::<u8>(), 0..60);
        let writes = prop::collection::btree_map("[a-zé]{1,9}", prop::option::of(value), 0..5);
        (writes, 1..4_u64).prop_map(move |(writes, step)| {
            let revision = after + step;
            let entry = |value: Vec<u8>| Entry {
                value: value.into(),
                create_revision: after.max(2),
                mod_revision: revision,
                version: 2,
            };
            let writes = writes.into_iter().map(|(key, value)| (Key::new(key).unwrap(), value.map(entry)));
            Record { after, revision, writes: writes.collect() }
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_a_torn_end_is_not(record in any_record(3), torn: prop::sample::Index) {
            let whole = [(put(2, b"before"), NOW), (record, NOW)];
            let bytes = file(&whole);
            prop_assert_eq!(replay(&bytes, NOW, 2), Ok(records(&whole)));
            let start = file(&whole[..1]).len();
            let end = start + torn.index(bytes.len() - start);
            prop_assert_eq!(replay(&bytes[..end], NOW, 2), Ok(records(&whole[..1])));
        }

        /// Sealed, so that the checksum is no protection: a record is read or refused, and nothing panics.
        #[test]
        fn any_bytes_are_a_record_or_refused(content in prop::collection::vec(any::<u8>(), 0..200), count in 0..4_u32) {
            let mut record = vec![0; FRAME_BYTES];
            record[4..8].copy_from_slice(&count.to_le_bytes());
            record[24] = 1;
            record[32] = 2;
            record.extend(content);
            record.resize(record.len().next_multiple_of(ALIGNMENT), 0);
            seal(&mut record, NOW, HEADER_BYTES as u64);
            let mut file = file(&[]);
            file.extend(record);
            let is_empty = count == 0 && file.len() < HEADER_BYTES + FRAME_BYTES + ALIGNMENT;
            prop_assert!(replay(&file, NOW, 1).is_ok_and(|found| found.len() == 1) || !is_empty);
            prop_assert!(replay(&file[..file.len().min(HEADER_BYTES + count as usize)], NOW, 1).is_ok());
        }
    }
}
