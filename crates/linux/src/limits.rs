//! The limits of the calling process.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit on open descriptors to the hard limit (each TAP queue and each connection is one), and the
/// hard limit to `wanted` where privileges allow. Returns the limit in force (`u64::MAX`: none).
///
/// # Errors
/// The kernel's.
pub fn raise_open_files(wanted: u64) -> io::Result<u64> {
    let now = getrlimit(Resource::Nofile);
    let hard = now.maximum.unwrap_or(u64::MAX);
    if hard < wanted {
        let higher = Rlimit { current: Some(wanted), maximum: Some(wanted) };
        if setrlimit(Resource::Nofile, higher).is_ok() {
            return Ok(wanted);
        }
    }
    let soft = now.current.unwrap_or(u64::MAX);
    if soft < hard {
        setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum })?;
    }
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_never_go_down() -> io::Result<()> {
        let before = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let after = raise_open_files(1)?;
        assert!(after >= before);
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), after);
        Ok(())
    }
}
