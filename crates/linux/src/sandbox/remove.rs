//! Removing the files of an instance, whatever it made of them.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

/// Removes `root_dir` and all below it; what is not there is well. Follows no symbolic link and needs no more than a few
/// descriptors however deep the directories are nested: each directory is first moved up to the top. The instance must
/// not be running.
///
/// # Errors
/// The kernel's, naming nothing but the cause: the files may have been removed in part.
pub fn remove_files(root_dir: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = match rustix::fs::open(root_dir, flags, Mode::empty()) {
        Ok(top) => top,
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut moved = 0_u64;
    // Each round empties the directories at the top; what was in them as directories is at the top for the next.
    loop {
        let mut found = false;
        for (name, is_directory) in entries(&top)? {
            if !is_directory {
                rustix::fs::unlinkat(&top, &name, AtFlags::empty())?;
                continue;
            }
            found = true;
            // As its owner without privileges: one that forbids everything to its owner cannot be read.
            let _ = rustix::fs::chmodat(&top, &name, Mode::RWXU, AtFlags::empty());
            let directory = rustix::fs::openat(&top, &name, flags, Mode::empty())?;
            for (inner, is_directory) in entries(&directory)? {
                if !is_directory {
                    rustix::fs::unlinkat(&directory, &inner, AtFlags::empty())?;
                    continue;
                }
                let _ = rustix::fs::chmodat(&directory, &inner, Mode::RWXU, AtFlags::empty());
                lift(&directory, &inner, &top, &mut moved)?;
            }
            rustix::fs::unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
        }
        if !found {
            break;
        }
    }
    fs::remove_dir(root_dir)
}

type Descriptor = std::os::fd::OwnedFd;

/// Moves a directory to the top under a name that is free there.
fn lift(from: &Descriptor, name: &std::ffi::CStr, top: &Descriptor, moved: &mut u64) -> io::Result<()> {
    loop {
        *moved += 1;
        let fresh = format!(".remove-{moved}");
        match rustix::fs::renameat_with(from, name, top, &fresh, rustix::fs::RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn entries(directory: &Descriptor) -> io::Result<Vec<(std::ffi::CString, bool)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        found.push((name.to_owned(), kind == FileType::Directory));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn removes_deep_closed_and_linked_things_and_nothing_outside() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir(&outside)?;
        fs::write(outside.join("kept"), "x")?;
        fs::create_dir(&root)?;
        fs::create_dir(root.join(".remove-1"))?;
        fs::write(root.join(".remove-1/file"), "x")?;
        symlink(&outside, root.join("link"))?;
        fs::create_dir_all(root.join("closed/inner"))?;
        symlink(&outside, root.join("closed/inner/link"))?;
        fs::set_permissions(root.join("closed/inner"), fs::Permissions::from_mode(0o000))?;
        fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o000))?;
        // Deeper than any path can name.
        let mut at = rustix::fs::open(&root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "deep", Mode::RWXU)?;
            at = rustix::fs::openat(&at, "deep", OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        }
        drop(at);
        remove_files(&root)?;
        assert!(!root.exists());
        assert_eq!(fs::read_to_string(outside.join("kept"))?, "x");
        remove_files(&root)
    }

    #[test]
    fn a_link_in_place_of_the_root_is_not_followed() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        fs::create_dir(dir.path().join("outside"))?;
        symlink(dir.path().join("outside"), dir.path().join("root"))?;
        assert!(remove_files(&dir.path().join("root")).is_err());
        assert!(dir.path().join("outside").is_dir());
        Ok(())
    }
}
