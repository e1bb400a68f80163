//! The TCP ends at the VPC's own addresses: for each interface a stack of its own (smoltcp), so that no guest can take another's
//! connections or memory.
//!
//! A packet is taken by the thread that carries it, and what is said to it at once goes the same way back. What time brings
//! (retransmissions, answers from elsewhere, connections that have been idle for too long) is done by [`Stacks::tick`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataplane::{Port, PortId};
use model::{Duration, NetworkInterfaceId, Time};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr, IpListenEndpoint};

/// Connections of one interface to one service at a time; one more is refused.
pub(crate) const CONNECTIONS_MAX: usize = 8;
/// A connection on which nothing was said for so long ends.
pub(crate) const IDLE: Duration = Duration::seconds(10);
/// What a peer may send before it is heard, and what waits to be sent, in bytes and each way.
const BUFFER: usize = 8 * 1024;
/// What a service has to say and the peer has not yet taken, in bytes; with more a connection ends.
const UNSENT_MAX: usize = 128 * 1024;
/// Packets that one call says at most.
const PACKETS_MAX: usize = 64;
/// Never more in one packet: every path of a guest to its own router takes that.
const MTU_MAX: usize = 1500;

/// A service that listens.
pub(crate) trait Listen: fmt::Debug + Send + Sync {
    /// Where it answers, as seen from this port.
    fn endpoints(&self, port: &Port) -> Vec<SocketAddr>;

    /// The hop limit of what it says to this interface.
    fn hop_limit(&self, interface: NetworkInterfaceId) -> u8;

    /// Somebody connected.
    fn accept(&self, caller: &Caller) -> Box<dyn Talk>;
}

/// Who has connected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) port: PortId,
    pub(crate) interface: NetworkInterfaceId,
    pub(crate) vpc: model::VpcId,
    pub(crate) from: SocketAddr,
    /// The service's address that was called.
    pub(crate) at: IpAddr,
}

/// What a service makes of one connection.
pub(crate) trait Talk: fmt::Debug + Send {
    /// Takes from `heard` what it has understood, and puts into `said` what it answers. Called when something was heard, and now and
    /// then: an answer may come from elsewhere. It must not wait.
    fn talk(&mut self, heard: &mut Vec<u8>, said: &mut Vec<u8>, now: Time) -> Turn;
}

/// How a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It waits for the peer.
    Listen,
    /// It waits for something else: the connection is not idle.
    Busy,
    /// Nothing more is said: it ends when what was said has been taken.
    Close,
}

/// All interfaces' stacks.
#[derive(Debug)]
pub(crate) struct Stacks {
    services: Vec<Arc<dyn Listen>>,
    by_interface: Mutex<BTreeMap<NetworkInterfaceId, Arc<Mutex<Stack>>>>,
}

impl Stacks {
    pub(crate) fn new(services: Vec<Arc<dyn Listen>>) -> Stacks {
        Stacks { services, by_interface: Mutex::default() }
    }

    /// Takes a guest's packet. `false`: no service listens on that port at all.
    pub(crate) fn segment(&self, port: &Port, packet: &[u8], now: Time, say: &mut dyn FnMut(&[u8])) -> bool {
        let stack = self.all().get(&port.interface).cloned();
        let stack = match stack.filter(|stack| lock(stack).is_for(port, &self.services)) {
            Some(stack) => stack,
            None => {
                let Some(made) = Stack::new(port, &self.services, now) else { return false };
                let made = Arc::new(Mutex::new(made));
                self.all().insert(port.interface, made.clone());
                made
            }
        };
        let mut stack = lock(&stack);
        stack.device.heard.push_back(packet.into());
        stack.turn(now);
        stack.device.said.drain(..).for_each(|packet| say(&packet));
        true
    }

    /// Does what is due, and forgets stacks without connections. Whether any is left.
    pub(crate) fn tick(&self, now: Time, say: &mut dyn FnMut(PortId, NetworkInterfaceId, Box<[u8]>)) -> bool {
        let stacks: Vec<_> = self.all().iter().map(|(interface, stack)| (*interface, stack.clone())).collect();
        for (interface, shared) in stacks {
            let mut stack = lock(&shared);
            stack.turn(now);
            let port = stack.port;
            stack.device.said.drain(..).for_each(|packet| say(port, interface, packet));
            if stack.is_idle() {
                drop(stack);
                // Whoever got hold of it meanwhile loses a packet, which comes again.
                self.all().remove(&interface);
            }
        }
        !self.all().is_empty()
    }

    /// Ends the connections of interfaces that are not here any more.
    pub(crate) fn keep_only(&self, keeps: impl Fn(NetworkInterfaceId) -> bool) {
        self.all().retain(|interface, _| keeps(*interface));
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<NetworkInterfaceId, Arc<Mutex<Stack>>>> {
        lock(&self.by_interface)
    }
}

/// One interface's.
struct Stack {
    port: PortId,
    vpc: model::VpcId,
    interface: NetworkInterfaceId,
    endpoints: Vec<SocketAddr>,
    hop_limits: Vec<u8>,
    router: Interface,
    device: Queues,
    sockets: SocketSet<'static>,
    lines: Vec<Line>,
}

/// A place for one connection.
struct Line {
    socket: SocketHandle,
    service: Arc<dyn Listen>,
    endpoint: SocketAddr,
    connection: Option<Connection>,
}

struct Connection {
    talk: Box<dyn Talk>,
    heard: Vec<u8>,
    said: Vec<u8>,
    last_heard: Time,
    is_closing: bool,
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("interface", &self.interface).finish_non_exhaustive()
    }
}

impl Stack {
    /// `None`: nobody listens.
    fn new(port: &Port, services: &[Arc<dyn Listen>], now: Time) -> Option<Stack> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).ok()?;
        let endpoints = endpoints(port, services);
        let mut device = Queues { mtu: usize::from(port.mtu).min(MTU_MAX), ..Queues::default() };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = u64::from_ne_bytes(seed);
        let mut router = Interface::new(config, &mut device, instant(now));
        router.update_ip_addrs(|addresses| {
            for (_, endpoint) in &endpoints {
                // With a prefix of no length everybody is on the link: there is one guest behind it.
                let address = IpCidr::new(endpoint.ip().into(), 0);
                if !addresses.contains(&address) && addresses.push(address).is_err() {
                    tracing::error!(%endpoint, "more services' addresses than a stack has room for");
                }
            }
        });
        let mut sockets = SocketSet::new(Vec::new());
        let mut lines = Vec::new();
        for (service, endpoint) in &endpoints {
            for _ in 0..CONNECTIONS_MAX {
                let buffer = || SocketBuffer::new(vec![0; BUFFER]);
                let socket = sockets.add(Socket::new(buffer(), buffer()));
                let service = services[*service].clone();
                lines.push(Line { socket, service, endpoint: *endpoint, connection: None });
            }
        }
        let hop_limits = hop_limits(port.interface, services);
        let endpoints = endpoints.into_iter().map(|(_, endpoint)| endpoint).collect();
        let (vpc, interface, port) = (port.vpc, port.interface, port.id);
        let mut stack = Stack { port, vpc, interface, endpoints, hop_limits, router, device, sockets, lines };
        (!stack.lines.is_empty()).then(|| {
            stack.listen();
            stack
        })
    }

    /// Still what this port needs.
    fn is_for(&self, port: &Port, services: &[Arc<dyn Listen>]) -> bool {
        let endpoints = endpoints(port, services);
        self.port == port.id
            && self.endpoints.iter().eq(endpoints.iter().map(|(_, endpoint)| endpoint))
            && self.hop_limits == hop_limits(port.interface, services)
    }

    fn is_idle(&self) -> bool {
        self.lines.iter().all(|line| line.connection.is_none() && !self.sockets.get::<Socket>(line.socket).is_active())
    }

    /// Hears what came, lets the services speak, says what there is to say.
    fn turn(&mut self, now: Time) {
        self.router.poll(instant(now), &mut self.device, &mut self.sockets);
        self.converse(now);
        self.router.poll(instant(now), &mut self.device, &mut self.sockets);
        self.listen();
    }

    /// Every place that is free waits for somebody.
    fn listen(&mut self) {
        for line in &mut self.lines {
            let socket = self.sockets.get_mut::<Socket>(line.socket);
            if socket.is_open() || line.connection.is_some() {
                continue;
            }
            socket.set_hop_limit(Some(line.service.hop_limit(self.interface).max(1)));
            socket.set_timeout(Some(smoltcp::time::Duration::from_millis(IDLE.as_millis().unsigned_abs())));
            let at = IpListenEndpoint { addr: Some(line.endpoint.ip().into()), port: line.endpoint.port() };
            if let Err(error) = socket.listen(at) {
                tracing::error!(?error, endpoint = %line.endpoint, "nobody listens");
            }
        }
    }

    fn converse(&mut self, now: Time) {
        let (port, interface, vpc) = (self.port, self.interface, self.vpc);
        for line in &mut self.lines {
            let socket = self.sockets.get_mut::<Socket>(line.socket);
            if line.connection.is_none() && matches!(socket.state(), State::Established | State::CloseWait) {
                let Some(from) = socket.remote_endpoint() else { continue };
                let from = SocketAddr::new(from.addr.into(), from.port);
                let caller = Caller { port, interface, vpc, from, at: line.endpoint.ip() };
                let talk = line.service.accept(&caller);
                let (heard, said) = (Vec::new(), Vec::new());
                line.connection = Some(Connection { talk, heard, said, last_heard: now, is_closing: false });
            }
            if let Some(connection) = &mut line.connection
                && !connection.go_on(socket, now)
            {
                line.connection = None;
            }
        }
    }
}

impl Connection {
    /// `false`: it is over.
    fn go_on(&mut self, socket: &mut Socket<'_>, now: Time) -> bool {
        if !socket.is_active() {
            return false;
        }
        while !self.is_closing && socket.can_recv() && self.heard.len() < BUFFER {
            let taken = socket.recv(|bytes| {
                self.heard.extend_from_slice(bytes);
                (bytes.len(), ())
            });
            if taken.is_err() {
                break;
            }
            self.last_heard = now;
        }
        if !self.is_closing {
            match self.talk.talk(&mut self.heard, &mut self.said, now) {
                Turn::Listen => {}
                Turn::Busy => self.last_heard = now,
                Turn::Close => self.is_closing = true,
            }
        }
        let has_left = !socket.may_recv() && !socket.can_recv();
        self.is_closing |= has_left && self.last_heard != now;
        let unheard = self.heard.len() >= BUFFER;
        if self.said.len() > UNSENT_MAX || (unheard && !self.is_closing) || now - self.last_heard > IDLE {
            socket.abort();
            return false;
        }
        if !self.said.is_empty() && socket.can_send() {
            let sent = socket.send_slice(&self.said).unwrap_or(0);
            self.said.drain(..sent);
        }
        if self.is_closing && self.said.is_empty() {
            socket.close();
            return false;
        }
        true
    }
}

/// Where which of the services answers.
fn endpoints(port: &Port, services: &[Arc<dyn Listen>]) -> Vec<(usize, SocketAddr)> {
    let of = |(at, service): (usize, &Arc<dyn Listen>)| {
        let endpoints = service.endpoints(port);
        endpoints.into_iter().map(move |endpoint| (at, endpoint))
    };
    services.iter().enumerate().flat_map(of).collect()
}

fn hop_limits(interface: NetworkInterfaceId, services: &[Arc<dyn Listen>]) -> Vec<u8> {
    services.iter().map(|service| service.hop_limit(interface)).collect()
}

/// IP packets in and out, bounded.
#[derive(Default)]
struct Queues {
    mtu: usize,
    heard: VecDeque<Box<[u8]>>,
    said: Vec<Box<[u8]>>,
}

struct Heard(Box<[u8]>);
struct Say<'q>(&'q mut Vec<Box<[u8]>>);

impl Device for Queues {
    type RxToken<'a> = Heard;
    type TxToken<'a> = Say<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Heard, Say<'_>)> {
        Some((Heard(self.heard.pop_front()?), Say(&mut self.said)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Say<'_>> {
        (self.said.len() < PACKETS_MAX).then_some(Say(&mut self.said))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        // A guest leaves checksums to its device, and there is no wire between here and there.
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities
    }
}

impl RxToken for Heard {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Say<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push(packet.into());
        result
    }
}

fn instant(now: Time) -> Instant {
    Instant::from_millis(now.as_unix_millis())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
