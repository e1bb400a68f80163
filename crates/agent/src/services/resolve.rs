//! Questions about names: answered from the last intent, or handed to who is asked about the rest.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use arc_swap::ArcSwap;
use dataplane::{DNS_PORT, Port, RESOLVER_V4, RESOLVER_V6};
use dns::{Answer, Recent, Resolver, Transport};
use model::intent::Intent;
use model::{NetworkInterfaceId, Time, VpcId};

use super::forward::Forward;
use super::tcp::{Caller, Listen, Talk, Turn};

/// Questions of one connection that are answered before others have their turn.
const QUESTIONS_PER_TURN: usize = 4;
const HOP_LIMIT: u8 = 64;

thread_local! {
    /// What this thread said lately, for the resolver that it asked last.
    static RECENT: RefCell<Recent> = RefCell::default();
}

/// The resolvers of the host's VPCs.
#[derive(Debug)]
pub(crate) struct Names {
    resolver: Arc<ArcSwap<Resolver>>,
    forward: Option<Forward>,
}

/// What became of a question.
pub(super) enum Resolved {
    Now(Vec<u8>),
    /// `later` is called, with nothing if nothing is to be said.
    Later,
    Silence,
}

impl Names {
    pub(super) fn start(upstream: Option<SocketAddr>) -> io::Result<Names> {
        let resolver = Arc::new(ArcSwap::default());
        let forward = upstream.map(|upstream| Forward::start(upstream, resolver.clone())).transpose()?;
        Ok(Names { resolver, forward })
    }

    pub(super) fn follow(&self, intent: &Arc<Intent>) {
        let renewed = self.resolver.load().renew(intent);
        if let Some(forward) = &self.forward {
            forward.keep_only(&renewed.vpcs().collect());
        }
        self.resolver.store(Arc::new(renewed));
    }

    pub(super) fn stop(&self) {
        if let Some(forward) = &self.forward {
            forward.stop();
        }
    }

    /// What the resolver of a VPC says to a message.
    pub(super) fn resolve(
        &self,
        vpc: VpcId,
        question: &[u8],
        transport: Transport,
        now: Time,
        later: impl FnOnce(Vec<u8>) + Send + 'static,
    ) -> Resolved {
        let resolver = self.resolver.load();
        let has_upstream = self.forward.is_some();
        let answer = RECENT.with_borrow_mut(|recent| recent.answer(&resolver, vpc, question, transport, has_upstream));
        match (answer, &self.forward) {
            (Answer::Now(message), _) => Resolved::Now(message),
            (Answer::Ask(ask), Some(forward)) => {
                if let Some(learned) = forward.recall(&ask, now) {
                    return Resolved::Now(resolver.complete(&ask, &learned));
                }
                match forward.ask(ask, Box::new(later)) {
                    Ok(()) => Resolved::Later,
                    Err(ask) => Resolved::Now(ask.fail()),
                }
            }
            (Answer::Ask(_), None) | (Answer::Silence, _) => Resolved::Silence,
        }
    }
}

/// The resolver over TCP (RFC 7766).
#[derive(Debug)]
pub(super) struct OverTcp(pub(super) Arc<Names>);

impl Listen for OverTcp {
    fn endpoints(&self, port: &Port) -> Vec<SocketAddr> {
        if !self.0.resolver.load().is_on(port.vpc) {
            return Vec::new();
        }
        let addresses = [port.resolver.into(), RESOLVER_V4.into(), RESOLVER_V6.into()];
        addresses.into_iter().map(|address| SocketAddr::new(address, DNS_PORT)).collect()
    }

    fn hop_limit(&self, _: NetworkInterfaceId) -> u8 {
        HOP_LIMIT
    }

    fn accept(&self, caller: &Caller) -> Box<dyn Talk> {
        let Caller { port, interface, vpc, from, at } = *caller;
        tracing::debug!(%port, %interface, %vpc, %from, %at, "a connection to the resolver");
        Box::new(Conversation { names: self.0.clone(), vpc, awaited: None })
    }
}

/// Questions on one connection, answered one after the other.
#[derive(Debug)]
struct Conversation {
    names: Arc<Names>,
    vpc: VpcId,
    /// The answer that others know.
    awaited: Option<Receiver<Vec<u8>>>,
}

impl Talk for Conversation {
    fn talk(&mut self, heard: &mut Vec<u8>, said: &mut Vec<u8>, now: Time) -> Turn {
        for _ in 0..QUESTIONS_PER_TURN {
            if let Some(awaited) = &self.awaited {
                match awaited.try_recv() {
                    Ok(message) => {
                        self.awaited = None;
                        if !say(&message, said) {
                            return Turn::Close;
                        }
                    }
                    Err(TryRecvError::Empty) => return Turn::Busy,
                    Err(TryRecvError::Disconnected) => return Turn::Close,
                }
            }
            let Some(length) = heard.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length))) else {
                return Turn::Listen;
            };
            let Some(question) = heard.get(2..2 + length) else { return Turn::Listen };
            let (tell, awaited) = channel();
            let later = move |message| {
                // Who hung up meanwhile wants no answer.
                let _ = tell.send(message);
            };
            let resolved = self.names.resolve(self.vpc, question, Transport::Tcp, now, later);
            heard.drain(..2 + length);
            match resolved {
                Resolved::Now(message) if say(&message, said) => {}
                Resolved::Now(_) | Resolved::Silence => return Turn::Close,
                Resolved::Later => self.awaited = Some(awaited),
            }
        }
        Turn::Busy
    }
}

/// `false`: there is nothing to say.
fn say(message: &[u8], said: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(message.len()) else { return false };
    said.extend(length.to_be_bytes());
    said.extend(message);
    length > 0
}
