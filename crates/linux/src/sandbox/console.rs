//! The console of an instance: what its first program and init say, in a file of bounded length.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// The length in bytes beyond which the older half of the file is dropped.
pub(super) const LEN_MAX: u64 = 1 << 20;

/// The log file, open for reading and appending.
#[derive(Debug)]
pub(super) struct Console {
    file: File,
}

impl Console {
    pub(super) fn new(file: File) -> Self {
        Self { file }
    }

    /// Appends output of a program. Nobody is there to be told of an error, and the instance goes on without a log.
    pub(super) fn output(&mut self, bytes: &[u8]) {
        let _ = self.append(bytes);
    }

    /// Appends a line of our own.
    pub(super) fn note(&mut self, text: &str) {
        self.output(format!("peerway: {text}\n").as_bytes());
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let bytes = &bytes[bytes.len().saturating_sub(usize::try_from(LEN_MAX / 2).unwrap_or(0))..];
        let len = self.file.metadata()?.len();
        if len + u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LEN_MAX {
            self.halve(len)?;
        }
        self.file.write_all(bytes)
    }

    fn halve(&mut self, len: u64) -> io::Result<()> {
        let mut tail = Vec::new();
        self.file.seek(SeekFrom::Start(len.saturating_sub(LEN_MAX / 2)))?;
        (&self.file).take(LEN_MAX / 2).read_to_end(&mut tail)?;
        // Begin with a whole line.
        let start = tail.iter().position(|&b| b == b'\n').map_or(0, |at| at + 1);
        self.file.set_len(0)?;
        self.file.write_all(&tail[start..])
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};

    use super::*;

    #[test]
    fn the_log_stays_bounded_and_keeps_the_latest() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("log");
        let mut console = Console::new(OpenOptions::new().read(true).append(true).create(true).open(&path)?);
        for number in 0..40_000 {
            console.note(&format!("this is line {number:08} of many lines"));
        }
        let text = fs::read_to_string(&path)?;
        assert!(u64::try_from(text.len()).unwrap_or(u64::MAX) <= LEN_MAX);
        assert!(text.starts_with("peerway: this is line "));
        assert!(text.ends_with("line 00039999 of many lines\n"));
        console.output(&vec![b'x'; 4 << 20]);
        assert!(fs::metadata(&path)?.len() <= LEN_MAX);
        Ok(())
    }
}
