//! The thread of the sessions: answers, dials and obeys. It waits for nobody: what takes time is a task of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream as ClientStream;
use tokio_rustls::server::TlsStream as ServerStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use model::{HostId, KeyFingerprint};

use super::events::{Event, EventSender, Role, Up};
use super::exporter::Exporter;
use super::table::{StrangerPlace, Table};
use super::tls::{self, Configs};
use super::why::Why;
use super::{Command, Limits, carry};

/// How long sessions have for their last words when the thread ends.
const GRACE: Duration = Duration::from_millis(500);
/// Between two attempts to take a port that somebody is about to leave.
const PORT_PAUSE: Duration = Duration::from_millis(2);
/// How long to wait when the machine can open no more connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that the kernel holds for us.
const BACKLOG: u32 = 1024;

/// What every task of the thread has.
#[derive(Clone)]
pub(super) struct Hub {
    pub(super) table: Arc<Table>,
    pub(super) events: EventSender,
    pub(super) limits: Limits,
    /// Where it listens; sessions that it opens come from the same address.
    pub(super) address: SocketAddr,
}

/// A socket that listens. Must be called inside the runtime.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // After a restart connections of the old process still wait for their end.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Works until it is told to stop or nobody can tell it any more. Without a listener it tries to become one, and dials meanwhile.
pub(super) async fn run(hub: Hub, listener: Option<TcpListener>, mut commands: mpsc::Receiver<Command>) {
    let listen = async {
        let listener = match listener {
            Some(listener) => listener,
            None => listen_in_time(&hub).await,
        };
        answer(&hub, &listener).await;
    };
    tokio::select! {
        () = listen => {}
        () = obey(&hub, &mut commands) => {}
    }
    hub.table.close_all();
    let ended = async {
        while !hub.table.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // What is left ends with the runtime.
    let _ = timeout(GRACE, ended).await;
}

async fn listen_in_time(hub: &Hub) -> TcpListener {
    let deadline = tokio::time::Instant::now() + hub.limits.port;
    loop {
        match listen(hub.address) {
            Ok(listener) => return listener,
            Err(_) if tokio::time::Instant::now() < deadline => tokio::time::sleep(PORT_PAUSE).await,
            Err(error) => {
                tracing::error!(address = %hub.address, %error, "no other host can open a key session to this one");
                tokio::time::sleep(hub.limits.port).await;
            }
        }
    }
}

async fn obey(hub: &Hub, commands: &mut mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Connect { host, address } => drop(tokio::spawn(dial(hub.clone(), host, address))),
            Command::Send { session, frame } => hub.table.send(session, &frame),
            Command::Close { session } => hub.table.close(session),
            Command::SetPeers(peers) => hub.table.set_peers(peers),
            Command::SetIdentity(credentials) => match Configs::new(credentials, hub.table.permitted.clone()) {
                Ok(configs) => hub.table.set_configs(configs),
                // An identity accepts only what can be used.
                Err(error) => tracing::error!(%error, "a new certificate cannot be used; the one before stays"),
            },
            Command::Stop => return,
        }
    }
}

async fn answer(hub: &Hub, listener: &TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let place = hub.table.receive(from.ip());
                let id = place.id();
                let task = tokio::spawn(greet(hub.clone(), stream, from, place));
                hub.table.received(id, task.abort_handle());
            }
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Somebody dialled.
async fn greet(hub: Hub, stream: TcpStream, from: SocketAddr, place: StrangerPlace) {
    let greeted = timeout(hub.limits.handshake, shake_as_server(&hub, stream)).await;
    // From here on it is known, and no crowd of strangers can end it.
    drop(place);
    if let Err(why) = let_in(&hub, from, greeted.unwrap_or(Err(Why::HandshakeTimeout))).await {
        tracing::debug!(%from, %why, "a session was refused");
        hub.events.send_minor(Event::Refused { from, why });
    }
}

async fn let_in(hub: &Hub, from: SocketAddr, shaken: Result<Shaken<ServerStream<TcpStream>>, Why>) -> Result<(), Why> {
    let (stream, host, key, exporter) = shaken?;
    let admitted = hub.table.admit(host, Role::Server, Some(key))?;
    let post_quantum = tls::is_post_quantum(stream.get_ref().1);
    let session = admitted.place.session;
    let up = Up { session, host, key, role: Role::Server, address: from, post_quantum, exporter };
    carry::run(stream, up, admitted, hub.events.clone(), hub.limits).await
}

type Shaken<S> = (S, HostId, KeyFingerprint, Exporter);

async fn shake_as_server(hub: &Hub, stream: TcpStream) -> Result<Shaken<ServerStream<TcpStream>>, Why> {
    let configs = hub.table.configs()?;
    stream.set_nodelay(true).map_err(|error| Why::of_io(&error))?;
    let stream = TlsAcceptor::from(configs.server.clone()).accept(stream).await;
    let stream = stream.map_err(|error| Why::of_io(&error))?;
    let connection = stream.get_ref().1;
    let (host, key) = tls::established(connection)?;
    let exporter = Exporter::new(|output, label, context| {
        connection.export_keying_material(output, label, Some(context)).map(drop)
    });
    Ok((stream, host, key, exporter.map_err(|error| Why::of_tls(&error))?))
}

/// A session is wanted.
async fn dial(hub: Hub, host: HostId, address: SocketAddr) {
    if let Err(why) = try_dial(&hub, host, address).await {
        tracing::debug!(%host, %address, %why, "no session");
        hub.events.send(Event::Failed { host, address, why }).await;
    }
}

async fn try_dial(hub: &Hub, host: HostId, address: SocketAddr) -> Result<(), Why> {
    let configs = hub.table.configs()?;
    let mut admitted = hub.table.admit(host, Role::Client, None)?;
    let (stream, _, key, exporter) = tokio::select! {
        shaken = timeout(hub.limits.handshake, shake_as_client(hub, &configs, host, address)) => {
            shaken.unwrap_or(Err(Why::HandshakeTimeout))
        }
        Ok(why) = &mut admitted.end => Err(why),
    }?;
    admitted.place.settle(key)?;
    let post_quantum = tls::is_post_quantum(stream.get_ref().1);
    let session = admitted.place.session;
    let up = Up { session, host, key, role: Role::Client, address, post_quantum, exporter };
    carry::run(stream, up, admitted, hub.events.clone(), hub.limits).await
}

async fn shake_as_client(
    hub: &Hub,
    configs: &Configs,
    expected: HostId,
    address: SocketAddr,
) -> Result<Shaken<ClientStream<TcpStream>>, Why> {
    let config = configs.client(expected).map_err(|error| Why::of_tls(&error))?;
    let stream = connect(hub, address).await.map_err(|error| Why::Unreachable(error.to_string()))?;
    let stream = TlsConnector::from(config).connect(tls::server_name(address.ip()), stream).await;
    let mut stream = stream.map_err(|error| Why::of_io(&error))?;
    let connection = stream.get_ref().1;
    let (host, key) = tls::established(connection)?;
    let exporter = Exporter::new(|output, label, context| {
        connection.export_keying_material(output, label, Some(context)).map(drop)
    });
    let exporter = exporter.map_err(|error| Why::of_tls(&error))?;
    carry::welcome(&mut stream).await?;
    Ok((stream, host, key, exporter))
}

async fn connect(hub: &Hub, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    let ours = hub.address.ip();
    if !ours.is_unspecified() && ours.is_ipv4() == address.is_ipv4() {
        socket.bind((ours, 0).into())?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
