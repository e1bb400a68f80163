//! What a service manager wants to hear (sd_notify(3)): one datagram to the socket that it names.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, Timespec};

/// Where the service manager listens; unset: nobody does.
const SOCKET: &str = "NOTIFY_SOCKET";

/// It is up.
pub fn ready() {
    say("READY=1");
}

/// It is about to go on as another process; [`ready`] ends this, be it that one's or this one's.
pub fn reloading() {
    let Timespec { tv_sec, tv_nsec } = rustix::time::clock_gettime(ClockId::Monotonic);
    // As the service manager reads the same clock, in microseconds, to tell this reload from an earlier one.
    say(&format!("RELOADING=1\nMONOTONIC_USEC={}", tv_sec * 1_000_000 + tv_nsec / 1000));
}

/// Another process goes on for it.
pub fn main_pid(pid: u32) {
    say(&format!("MAINPID={pid}"));
}

/// It is about to end.
pub fn stopping() {
    say("STOPPING=1");
}

/// A service manager that does not hear is no reason not to serve.
fn say(word: &str) {
    let Some(socket) = std::env::var_os(SOCKET).filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send(&socket, word) {
        tracing::warn!(%error, word, "the service manager does not hear");
    }
}

/// A path, or `@` and a name in the kernel's own space of names (unix(7)).
fn send(socket: &OsStr, word: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(word.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].into()).unwrap()
    }

    #[test]
    fn sockets_are_paths_or_names() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        assert_eq!(heard(&socket), "READY=1");
        let name = format!("peerway-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(OsStr::new(&format!("@{name}")), "STOPPING=1").unwrap();
        assert_eq!(heard(&socket), "STOPPING=1");
        assert!(send(directory.path().join("nobody").as_os_str(), "x").is_err());
    }
}
