//! Names that are not this cloud's: asked of the resolver that the operator named, and remembered for each VPC apart.
//!
//! Every question goes out from a port of its own with a random id (RFC 5452), once however many ask it, and an answer counts only if
//! it comes from there and fits ([`dns::hear`]). What is outstanding is bounded, for each VPC and for all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use dns::{Ask, Cache, Learned, MESSAGE_MAX, Resolver, UDP_MAX, Word};
use model::{Time, VpcId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::engine::now;

/// Questions that all VPCs have out at one time.
const OUTSTANDING_MAX: usize = 512;
/// The same of one VPC.
const OUTSTANDING_PER_VPC: usize = 64;
/// Who may wait for one question.
const WAITERS_MAX: usize = 32;
/// Questions that are on their way to the thread.
const QUEUE: usize = 1024;
/// How long one attempt waits; a guest asks again after five seconds (resolv.conf(5)).
const PATIENCE: Duration = Duration::from_millis(1500);
const ATTEMPTS: usize = 2;
/// Messages that one attempt looks at: more of them is somebody guessing.
const MESSAGES_MAX: usize = 16;

/// What is done with the answer.
pub(super) type Reply = Box<dyn FnOnce(Vec<u8>) + Send>;

/// A question and who waits for its answer.
type Asked = (Box<Ask>, Reply);
type Question = (VpcId, String, u16);
type Waiters = BTreeMap<Question, Vec<Asked>>;

/// The way to somebody who knows.
pub(super) struct Forward {
    questions: Mutex<Option<Sender<Asked>>>,
    caches: Arc<Caches>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Caches(Mutex<BTreeMap<VpcId, Cache>>);

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").finish_non_exhaustive()
    }
}

impl Forward {
    pub(super) fn start(upstream: SocketAddr, resolver: Arc<ArcSwap<Resolver>>) -> io::Result<Forward> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (questions, incoming) = channel(QUEUE);
        let caches = Arc::new(Caches::default());
        let desk = Desk { upstream, resolver, caches: caches.clone(), waiters: Waiters::new(), asked: JoinSet::new() };
        let work = move || runtime.block_on(desk.run(incoming));
        let thread = std::thread::Builder::new().name("names".into()).spawn(work)?;
        Ok(Forward { questions: Mutex::new(Some(questions)), caches, thread: Mutex::new(Some(thread)) })
    }

    /// What the VPC was told before.
    pub(super) fn recall(&self, ask: &Ask, now: Time) -> Option<Learned> {
        self.caches.all().get_mut(&ask.vpc)?.recall(ask, now)
    }

    /// Has the question asked; `reply` gets the answer.
    ///
    /// # Errors
    /// The question, if too many wait already.
    pub(super) fn ask(&self, ask: Box<Ask>, reply: Reply) -> Result<(), Box<Ask>> {
        let sender = locked(&self.questions).clone();
        let Some(sender) = sender else { return Err(ask) };
        self.caches.all().entry(ask.vpc).or_default();
        sender.try_send((ask, reply)).map_err(|refused| refused.into_inner().0)
    }

    /// Forgets what VPCs were told that are not here any more.
    pub(super) fn keep_only(&self, vpcs: &BTreeSet<VpcId>) {
        self.caches.all().retain(|vpc, _| vpcs.contains(vpc));
    }

    pub(super) fn stop(&self) {
        locked(&self.questions).take();
        if locked(&self.thread).take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that asks for names ended in a panic");
        }
    }
}

impl Caches {
    fn all(&self) -> MutexGuard<'_, BTreeMap<VpcId, Cache>> {
        locked(&self.0)
    }
}

/// The thread's own.
struct Desk {
    upstream: SocketAddr,
    resolver: Arc<ArcSwap<Resolver>>,
    caches: Arc<Caches>,
    waiters: Waiters,
    asked: JoinSet<(Question, Option<Learned>)>,
}

impl Desk {
    /// Until nobody can ask any more.
    async fn run(mut self, mut incoming: Receiver<Asked>) {
        loop {
            tokio::select! {
                one = incoming.recv() => match one {
                    Some((ask, reply)) => self.take(ask, reply),
                    None => return,
                },
                Some(done) = self.asked.join_next() => match done {
                    Ok((question, learned)) => self.tell(&question, learned.as_ref()),
                    Err(error) => tracing::error!(%error, "a question for a name was lost"),
                },
            }
        }
    }

    fn take(&mut self, ask: Box<Ask>, reply: Reply) {
        let (name, kind) = ask.question();
        let question = (ask.vpc, name.to_string(), kind);
        if let Some(waiters) = self.waiters.get_mut(&question) {
            match waiters.len() < WAITERS_MAX {
                true => waiters.push((ask, reply)),
                false => reply(ask.fail()),
            }
            return;
        }
        let of_vpc = self.waiters.keys().filter(|(vpc, ..)| *vpc == ask.vpc).count();
        if self.waiters.len() >= OUTSTANDING_MAX || of_vpc >= OUTSTANDING_PER_VPC {
            return reply(ask.fail());
        }
        let (upstream, asked) = (self.upstream, ask.clone());
        let of = question.clone();
        self.asked.spawn(async move { (of, learn(upstream, &asked).await) });
        self.waiters.insert(question, vec![(ask, reply)]);
    }

    fn tell(&mut self, question: &Question, learned: Option<&Learned>) {
        let waiters = self.waiters.remove(question).unwrap_or_default();
        if let (Some(learned), Some((ask, _))) = (learned, waiters.first())
            // A VPC that is gone remembers nothing.
            && let Some(cache) = self.caches.all().get_mut(&question.0)
        {
            cache.keep(ask, learned, now());
        }
        let resolver = self.resolver.load();
        for (ask, reply) in waiters {
            reply(match learned {
                Some(learned) => resolver.complete(&ask, learned),
                None => ask.fail(),
            });
        }
    }
}

/// Asks until somebody answers, a few times.
async fn learn(upstream: SocketAddr, ask: &Ask) -> Option<Learned> {
    for _ in 0..ATTEMPTS {
        let word = match over_udp(upstream, ask).await {
            Ok(Word::Truncated) => timeout(PATIENCE, over_tcp(upstream, ask)).await.unwrap_or(Ok(Word::Failure)),
            other => other,
        };
        match word {
            Ok(Word::Learned(learned)) => return Some(*learned),
            Ok(Word::Failure | Word::Truncated | Word::Noise) => {}
            Err(error) => tracing::debug!(%upstream, %error, "a name was not asked for"),
        }
    }
    None
}

async fn over_udp(upstream: SocketAddr, ask: &Ask) -> io::Result<Word> {
    let any: IpAddr = match upstream {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // The kernel chooses a port that nobody can know, and takes datagrams from there only.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(upstream).await?;
    let id = random_id()?;
    socket.send(&dns::request(ask, id)).await?;
    let until = Instant::now() + PATIENCE;
    let mut buffer = vec![0; UDP_MAX];
    for _ in 0..MESSAGES_MAX {
        let Ok(received) = timeout_at(until, socket.recv(&mut buffer)).await else { break };
        match dns::hear(ask, id, &buffer[..received?]) {
            Word::Noise => {}
            word => return Ok(word),
        }
    }
    Ok(Word::Failure)
}

async fn over_tcp(upstream: SocketAddr, ask: &Ask) -> io::Result<Word> {
    let mut stream = TcpStream::connect(upstream).await?;
    let id = random_id()?;
    let request = dns::request(ask, id);
    let length = u16::try_from(request.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], &request].concat()).await?;
    let length = usize::from(stream.read_u16().await?);
    if length > MESSAGE_MAX {
        return Ok(Word::Failure);
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(dns::hear(ask, id, &message))
}

fn random_id() -> io::Result<u16> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    Ok(u16::from_ne_bytes(id))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
