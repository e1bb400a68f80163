//! Packets of two instances to each other, sent and received through ordinary sockets in their network namespaces: through
//! their devices, so that all that holds for their own programs holds for these.
//!
//! Both ends are looked at: what the receiver saw, from which address, and whether its answer came home.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::{InstanceId, NetworkInterfaceId};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};

/// How long to listen where nothing is to be heard; below the second after which a guest sends its SYN again.
const QUIET: Duration = Duration::from_millis(500);
/// How often to ask where an answer is to come, and how long to wait for each.
const TRIES: u32 = 25;
const TRY: Duration = Duration::from_millis(200);
/// How often a web server looks for somebody new.
const LOOK: Duration = Duration::from_millis(10);
const GREETING: &[u8] = b"is anybody there?";

/// An instance, seen from outside: its address and its network namespace.
pub struct Guest {
    pub instance: InstanceId,
    pub interface: NetworkInterfaceId,
    pub address: Ipv4Addr,
    pub netns: OwnedFd,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ping,
    Tcp(u16),
    Udp(u16),
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It arrived, and the answer came home. With the source address that the receiver saw.
    Answered(IpAddr),
    /// It arrived, and no answer came home.
    Arrived(IpAddr),
    Nothing,
}

/// What is expected decides how long to wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    ForAnswer,
    /// Of the request alone.
    ForArrival,
    InSilence,
}

impl Wait {
    fn tries(self) -> (u32, Duration) {
        match self {
            Wait::ForAnswer => (TRIES, TRY),
            Wait::ForArrival => (TRIES, QUIET),
            Wait::InSilence => (1, QUIET),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Ping => f.write_str("ping"),
            Kind::Tcp(port) => write!(f, "tcp/{port}"),
            Kind::Udp(port) => write!(f, "udp/{port}"),
        }
    }
}

impl Guest {
    /// Runs `work` in the instance's network.
    fn inside<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        linux::namespace::in_netns(&self.netns, work)?
    }
}

impl Kind {
    /// Sends it, and watches both ends.
    ///
    /// # Errors
    /// The kernel's, other than silence; a refused connection is one.
    pub fn send(self, from: &Guest, to: &Guest, wait: Wait) -> io::Result<Seen> {
        match self {
            Kind::Ping => ping(from, to, wait),
            Kind::Tcp(port) => tcp(from, to, port, wait),
            Kind::Udp(port) => udp(from, to, port, wait),
        }
    }
}

fn ping(from: &Guest, to: &Guest, wait: Wait) -> io::Result<Seen> {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let (there, here) = (to.inside(icmp_socket)?, from.inside(icmp_socket)?);
    let (tries, patience) = wait.tries();
    let mut arrived = Seen::Nothing;
    for sequence in 1..=tries {
        here.send_to(&echo_request(id, u16::try_from(sequence).unwrap_or(0)), (to.address, 0))?;
        let is_answered = hear(&here, ECHO_REPLY, id, patience)?.is_some();
        match hear(&there, ECHO_REQUEST, id, Duration::ZERO)? {
            Some(source) if is_answered => return Ok(Seen::Answered(source)),
            Some(source) if wait == Wait::ForArrival => return Ok(Seen::Arrived(source)),
            Some(source) => arrived = Seen::Arrived(source),
            None => {}
        }
    }
    Ok(arrived)
}

/// A raw socket; for sending and receiving, the standard library's datagram socket does what it needs.
fn icmp_socket() -> io::Result<UdpSocket> {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::ICMP))?;
    Ok(socket.into())
}

// RFC 792.
const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;

fn echo_request(id: u16, sequence: u16) -> [u8; 8] {
    let (id_bytes, sequence_bytes) = (id.to_be_bytes(), sequence.to_be_bytes());
    // The ones' complement sum of three words; the rest are zero.
    let sum = (u32::from(ECHO_REQUEST) << 8) + u32::from(id) + u32::from(sequence);
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = u16::try_from((sum & 0xffff) + (sum >> 16)).map_or(0, |sum| !sum).to_be_bytes();
    [ECHO_REQUEST, 0, checksum[0], checksum[1], id_bytes[0], id_bytes[1], sequence_bytes[0], sequence_bytes[1]]
}

/// The source of the first message of this type and id that comes in this time.
fn hear(socket: &UdpSocket, message_type: u8, id: u16, patience: Duration) -> io::Result<Option<IpAddr>> {
    let deadline = Instant::now() + patience;
    let mut packet = [0; 128];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let Some((length, source)) = unless_silent(socket.recv_from(&mut packet))? else { return Ok(None) };
        // A raw socket hears the IP header too, and every message of the instance.
        let header = usize::from(packet[0] & 0xf) * 4;
        let message = packet[..length].get(header..header + 6);
        if message.is_some_and(|message| message[0] == message_type && message[4..6] == id.to_be_bytes()) {
            return Ok(Some(source.ip()));
        }
        if left.is_zero() {
            return Ok(None);
        }
    }
}

fn udp(from: &Guest, to: &Guest, port: u16, wait: Wait) -> io::Result<Seen> {
    let server = to.inside(|| UdpSocket::bind((to.address, port)))?;
    let client = from.inside(|| {
        let client = UdpSocket::bind((from.address, 0))?;
        client.connect((to.address, port))?;
        Ok(client)
    })?;
    let (tries, patience) = wait.tries();
    server.set_read_timeout(Some(patience))?;
    client.set_read_timeout(Some(patience))?;
    let mut arrived = Seen::Nothing;
    let mut message = [0; 64];
    for _ in 0..tries {
        client.send(GREETING)?;
        let Some((length, source)) = unless_silent(server.recv_from(&mut message))? else { continue };
        arrived = Seen::Arrived(source.ip());
        server.send_to(&message[..length], source)?;
        if unless_silent(client.recv(&mut message))?.is_some() {
            return Ok(Seen::Answered(source.ip()));
        }
        if wait == Wait::ForArrival {
            break;
        }
    }
    Ok(arrived)
}

fn tcp(from: &Guest, to: &Guest, port: u16, wait: Wait) -> io::Result<Seen> {
    Ok(match Flow::open(from, to, port, wait)? {
        Some(flow) if flow.is_alive()? => Seen::Answered(flow.source.ip()),
        Some(flow) => Seen::Arrived(flow.source.ip()),
        None => Seen::Nothing,
    })
}

/// A web server inside an instance, on port 80, that answers every request with the address that it came from. It ends when dropped.
pub struct WebServer {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl WebServer {
    /// # Errors
    /// The kernel's.
    pub fn start(guest: &Guest) -> io::Result<WebServer> {
        let listener = guest.inside(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)))?;
        listener.set_nonblocking(true)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let told = is_over.clone();
        let serve = move || {
            while !told.load(Ordering::Relaxed) {
                match listener.accept() {
                    // Who is slow or hangs up is not waited for, and asks again.
                    Ok((client, source)) => drop(answer(client, source.ip())),
                    Err(_) => std::thread::sleep(LOOK),
                }
            }
        };
        let thread = std::thread::Builder::new().name("web server".into()).spawn(serve)?;
        Ok(WebServer { is_over, thread: Some(thread) })
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The shortest exchange that every web client understands (RFC 1945).
fn answer(mut client: TcpStream, source: IpAddr) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(QUIET))?;
    client.set_write_timeout(Some(QUIET))?;
    // A request of this story fits one segment; what it says does not matter.
    let mut request = [0; 2048];
    let _ = client.read(&mut request)?;
    let body = format!("{source}\n");
    write!(client, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// An open TCP connection, both of its ends in hand.
pub struct Flow {
    client: TcpStream,
    server: TcpStream,
    /// As the server sees it.
    pub source: SocketAddr,
}

impl Flow {
    /// `None`: nobody answers.
    ///
    /// # Errors
    /// The kernel's, a refused connection among them.
    pub fn open(from: &Guest, to: &Guest, port: u16, wait: Wait) -> io::Result<Option<Flow>> {
        let listener = to.inside(|| TcpListener::bind((to.address, port)))?;
        let (tries, patience) = wait.tries();
        let door = SocketAddr::from((to.address, port));
        let connect = || TcpStream::connect_timeout(&door, patience * tries);
        let Some(client) = unless_silent(from.inside(connect))? else { return Ok(None) };
        let (server, source) = listener.accept()?;
        for end in [&client, &server] {
            end.set_read_timeout(Some(QUIET))?;
            end.set_nodelay(true)?;
            // What is cut must not linger in a network that is to go.
            rustix::net::sockopt::set_socket_linger(end, Some(Duration::ZERO))?;
        }
        Ok(Some(Flow { client, server, source }))
    }

    /// Whether a message passes there and back.
    ///
    /// # Errors
    /// The kernel's, other than silence.
    pub fn is_alive(&self) -> io::Result<bool> {
        for (from, to) in [(&self.client, &self.server), (&self.server, &self.client)] {
            let (mut from, mut to) = (from, to);
            from.write_all(GREETING)?;
            let mut heard = [0; GREETING.len()];
            if unless_silent(to.read_exact(&mut heard))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// `None` where the time ran out.
fn unless_silent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echo_requests_add_up() {
        for (id, sequence) in [(0, 0), (1, 1), (0xffff, 0xffff), (0xf800, 7), (0xf7ff, 1)] {
            let message = echo_request(id, sequence);
            let sum =
                message.chunks(2).fold(0_u32, |sum, word| sum + u32::from(u16::from_be_bytes([word[0], word[1]])));
            assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "{id} {sequence}");
        }
    }
}
