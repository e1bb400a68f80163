//! Traffic between two instances, through ordinary sockets in their network namespaces, while something happens to their hosts.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use linux::namespace::in_netns;

/// Time between two messages.
const PACE: Duration = Duration::from_millis(1);
/// How long an end waits before it looks whether all is over.
const LOOK: Duration = Duration::from_millis(20);
/// How long what is under way may take at the end.
const LAST: Duration = Duration::from_secs(10);

/// An instance's network and its address in it.
pub struct Place {
    pub netns: OwnedFd,
    pub address: String,
}

impl Place {
    fn inside<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> T {
        in_netns(&self.netns, work).expect("the namespace can be entered").expect("a socket")
    }

    fn at(&self, port: u16) -> SocketAddr {
        format!("{}:{port}", self.address).parse().expect("an address")
    }
}

/// What was seen of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub sent: u64,
    pub received: u64,
    /// The longest time in which nothing came.
    pub gap: Duration,
}

/// A flow that goes on until it is asked.
pub struct Flow {
    pub name: &'static str,
    is_over: Arc<AtomicBool>,
    client: JoinHandle<Seen>,
    server: JoinHandle<()>,
}

impl Flow {
    /// Numbers over TCP, one at a time, and each back: a connection that breaks, or loses or doubles a byte, fails the test.
    pub fn tcp(name: &'static str, from: &Place, to: &Place, port: u16) -> Flow {
        let is_over = Arc::new(AtomicBool::new(false));
        let address = to.at(port);
        let listener = to.inside(|| TcpListener::bind(address));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.set_nodelay(true).expect("set");
            let mut number = [0; 8];
            // Its end is the client's.
            while stream.read_exact(&mut number).is_ok() {
                stream.write_all(&number).expect("the connection holds");
            }
        });
        let mut stream = from.inside(|| TcpStream::connect(address));
        let over = is_over.clone();
        let client = std::thread::spawn(move || {
            stream.set_nodelay(true).expect("set");
            let mut seen = Watch::new();
            while !over.load(Ordering::Relaxed) {
                stream.write_all(&seen.sent.to_be_bytes()).expect("the connection holds");
                let mut number = [0; 8];
                stream.read_exact(&mut number).expect("the connection holds");
                assert_eq!(u64::from_be_bytes(number), seen.sent, "what came back is what was sent");
                seen.sent += 1;
                seen.received();
                std::thread::sleep(PACE);
            }
            seen.end()
        });
        Flow { name, is_over, client, server }
    }

    /// A thousand datagrams a second, and each back; what is lost is counted.
    pub fn datagrams(name: &'static str, from: &Place, to: &Place, port: u16) -> Flow {
        let is_over = Arc::new(AtomicBool::new(false));
        let address = to.at(port);
        let (there, here) =
            (to.inside(|| UdpSocket::bind(address)), from.inside(|| UdpSocket::bind((from.address.as_str(), 0))));
        there.set_read_timeout(Some(LOOK)).expect("set");
        here.set_nonblocking(true).expect("set");
        let over = is_over.clone();
        let server = std::thread::spawn(move || {
            let mut number = [0; 8];
            while !over.load(Ordering::Relaxed) {
                if let Ok((length, source)) = there.recv_from(&mut number) {
                    let _ = there.send_to(&number[..length], source);
                }
            }
        });
        let over = is_over.clone();
        let client = std::thread::spawn(move || {
            let mut seen = Watch::new();
            let mut next = Instant::now();
            while !over.load(Ordering::Relaxed) {
                // A device without a carrier takes nothing; then it is lost.
                let _ = here.send_to(&seen.sent.to_be_bytes(), address);
                seen.sent += 1;
                next += PACE;
                loop {
                    match here.recv(&mut [0; 8]) {
                        Ok(_) => seen.received(),
                        Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() >= next => break,
                        Err(_) => std::thread::sleep(PACE / 5),
                    }
                }
            }
            seen.end()
        });
        Flow { name, is_over, client, server }
    }

    /// Ends it; what was seen, which is printed too.
    pub fn end(self) -> Seen {
        self.is_over.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + LAST;
        while !(self.client.is_finished() && self.server.is_finished()) {
            assert!(Instant::now() < deadline, "{}: the flow hangs", self.name);
            std::thread::sleep(LOOK);
        }
        let seen = self.client.join().unwrap_or_else(|_| panic!("{}: the connection broke", self.name));
        self.server.join().unwrap_or_else(|_| panic!("{}: the connection broke", self.name));
        let Seen { sent, received, gap } = seen;
        println!("{}: {sent} sent, {received} came back, longest gap {} ms", self.name, gap.as_millis());
        seen
    }
}

struct Watch {
    sent: u64,
    came: u64,
    last: Instant,
    gap: Duration,
}

impl Watch {
    fn new() -> Watch {
        Watch { sent: 0, came: 0, last: Instant::now(), gap: Duration::ZERO }
    }

    fn received(&mut self) {
        self.came += 1;
        self.gap = self.gap.max(self.last.elapsed());
        self.last = Instant::now();
    }

    fn end(self) -> Seen {
        Seen { sent: self.sent, received: self.came, gap: self.gap.max(self.last.elapsed()) }
    }
}
