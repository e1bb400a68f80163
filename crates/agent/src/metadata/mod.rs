//! What may an instance know about itself? EC2's instance metadata at 169.254.169.254 and fd00:ec2::254 (spec 6.1.4, users' case 22).
//!
//! ```text
//!   connection (services::tcp) ─ bytes ─▶ request ─▶ answer ─ by interface ─▶ subject ─▶ tree ─▶ bytes
//! ```
//!
//! Who asks is known from the port that the packets came from, never from anything that they say: so a guest is told about its own
//! instance only. All that is told is in the intent; with the control plane dead the answers stay the same. The connections themselves
//! are `services::tcp`'s.

mod answer;
mod request;
mod subject;
#[cfg(test)]
mod tests;
mod token;
mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataplane::{METADATA_PORT, METADATA_V4, METADATA_V6, Port};
use model::intent::Intent;
use model::{MetadataOptions, NetworkInterfaceId, Time, VpcId};

use crate::services::tcp::{Caller, Listen, Talk, Turn};
use answer::{Answer, answer};
use request::{Method, Parsed, parse};
use subject::Subject;
use token::Tokens;

/// Answers that wait to be taken, in bytes, before another request is looked at.
const SAID_MAX: usize = 32 * 1024;

/// The metadata of all instances here.
#[derive(Clone)]
pub(crate) struct Metadata(Arc<Inner>);

struct Inner {
    tokens: Tokens,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    intent: Arc<Intent>,
    /// Of the interfaces of instances here.
    options: BTreeMap<NetworkInterfaceId, MetadataOptions>,
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metadata")
    }
}

impl Metadata {
    /// With a secret of its own.
    ///
    /// # Errors
    /// The machine gives no randomness.
    pub(crate) fn start() -> io::Result<Metadata> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|_| io::Error::other("the machine gives no randomness"))?;
        Ok(Metadata::new(&secret))
    }

    /// `secret`: random, and this agent's alone. Tokens of an earlier agent are not valid any more: clients ask for new ones.
    fn new(secret: &[u8; 32]) -> Metadata {
        Metadata(Arc::new(Inner { tokens: Tokens::new(secret), state: Mutex::default() }))
    }

    /// Tells what this intent says from here on.
    pub(crate) fn follow(&self, intent: &Arc<Intent>) {
        let interfaces = intent.vpcs.values().flat_map(|slice| &slice.endpoints).map(|endpoint| &endpoint.interface);
        let options = interfaces.filter_map(|interface| {
            let instance = intent.instances.get(&interface.attachment.as_ref()?.instance)?;
            Some((interface.id, instance.metadata))
        });
        *self.state() = State { options: options.collect(), intent: intent.clone() };
    }

    /// The whole answer to these bytes of a guest, if they are a request: how many of them were taken, what to say, whether the
    /// connection goes on.
    fn respond(&self, vpc: VpcId, interface: NetworkInterfaceId, heard: &[u8], now: Time) -> Option<Response> {
        let (request, taken) = match parse(heard) {
            Parsed::Partial => return None,
            Parsed::Whole(request, taken) => (request, taken),
            Parsed::Refused(status) => {
                return Some(Response {
                    taken: heard.len(),
                    bytes: Answer::refused(status).write(false, false),
                    goes_on: false,
                });
            }
        };
        let intent = self.state().intent.clone();
        let answer = match Subject::of(&intent, vpc, interface) {
            Some(subject) => answer(&subject, &self.0.tokens, &request, now),
            None => Answer::refused(404),
        };
        let bytes = answer.write(request.method == Method::Head, request.keeps_alive);
        Some(Response { taken, bytes, goes_on: request.keeps_alive })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Response {
    taken: usize,
    bytes: Vec<u8>,
    goes_on: bool,
}

impl Listen for Metadata {
    fn endpoints(&self, port: &Port) -> Vec<SocketAddr> {
        let options = self.state().options.get(&port.interface).copied();
        let v6 = options.filter(|options| options.has_ipv6).map(|_| (METADATA_V6, METADATA_PORT).into());
        let v4 = options.map(|_| (METADATA_V4, METADATA_PORT).into());
        v4.into_iter().chain(v6).collect()
    }

    fn hop_limit(&self, interface: NetworkInterfaceId) -> u8 {
        self.state().options.get(&interface).copied().unwrap_or_default().hop_limit
    }

    fn accept(&self, caller: &Caller) -> Box<dyn Talk> {
        Box::new(Conversation { metadata: self.clone(), vpc: caller.vpc, interface: caller.interface })
    }
}

/// One connection.
#[derive(Debug)]
struct Conversation {
    metadata: Metadata,
    vpc: VpcId,
    interface: NetworkInterfaceId,
}

impl Talk for Conversation {
    fn talk(&mut self, heard: &mut Vec<u8>, said: &mut Vec<u8>, now: Time) -> Turn {
        while said.len() < SAID_MAX && !heard.is_empty() {
            let Some(response) = self.metadata.respond(self.vpc, self.interface, heard, now) else { break };
            heard.drain(..response.taken);
            said.extend(response.bytes);
            if !response.goes_on {
                return Turn::Close;
            }
        }
        Turn::Listen
    }
}
