//! kill -9 at any moment: what was acknowledged is there, nothing is there twice, both regions agree, and the next start
//! clears away what was left.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ec2::service::Service;

use crate::common::api::{Answer, Client, Refusal};
use crate::common::eventually;
use crate::common::machine::Traces;
use crate::common::running::*;

const ROUNDS: u64 = 10;
const ARGUMENTS: [&str; 4] = ["--quota", "vpcs=100000", "--quota", "outstanding-peering-requests=100000"];
/// Writers, each with a pair of accounts of its own, so that each knows all that it may find.
const WRITERS: u64 = 3;

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_doubled() {
    let place = Place::new();
    let mut dice = Dice::new();
    let mut writers: Vec<Writer> = (0..WRITERS).map(|n| Writer::new(n, dice.next())).collect();
    let up = Up::start(&place, &ARGUMENTS);
    let mut alice = up.client(ALICE);
    let network = network(&mut alice, "10.16");
    let guests = guests(&mut alice, &network.subnet, 2, "");
    let ids: Vec<String> = guests.iter().map(|guest| guest.id.clone()).collect();
    up.stop();
    for round in 0..ROUNDS {
        let up = Up::start(&place, &ARGUMENTS);
        // Some crashes hit a machine at work, some one that has just begun.
        if round % 2 == 0 {
            up.wait_until_reached(&guests[0].id, &guests[1].address);
        }
        let traces = Traces::of(up.pid(), &ids);
        let address = up.address;
        let threads = writers.into_iter().map(|mut writer| {
            std::thread::spawn(move || {
                writer.write_until_it_crashes(address);
                writer
            })
        });
        let threads: Vec<_> = threads.collect();
        std::thread::sleep(Duration::from_millis(dice.below(400)));
        up.kill();
        writers = threads.into_iter().map(|thread| thread.join().expect("a writer")).collect();

        let up = Up::start(&place, &ARGUMENTS);
        for writer in &mut writers {
            writer.check(up.address);
        }
        up.wait_until_reached(&guests[0].id, &guests[1].address);
        // The same instances run again, in control groups of the same names.
        let left = traces.left_processes();
        assert!(left.is_empty(), "the crashed run left {left:?}\n{}", up.log());
        assert_eq!(up.processes().len(), guests.len());
        if round + 1 == ROUNDS {
            let traces = Traces::of(up.pid(), &ids);
            up.stop();
            assert_eq!(traces.left(), Vec::<String>::new());
        } else {
            up.kill();
        }
    }
    let acknowledged: usize = writers.iter().map(|writer| writer.acknowledged).sum();
    println!("{acknowledged} acknowledged writes over {ROUNDS} crashes");
    assert!(acknowledged > 100, "only {acknowledged} writes were acknowledged: the crashes hit nothing");
}

/// How far a peering is known to have come. What nobody acknowledged may have happened or not.
#[derive(Clone, Debug)]
struct Peering {
    requester: String,
    accepter: String,
    /// The last answer: `requested`, `active`, `rejected`, `deleted`.
    is: &'static str,
    /// What was asked when the crash came.
    perhaps: Option<&'static str>,
}

struct Writer {
    dice: Dice,
    accounts: [String; 2],
    /// In each region: those that must be there, and, after a crash, whether they may be gone.
    vpcs: [BTreeMap<String, bool>; 2],
    peerings: BTreeMap<String, Peering>,
    /// What a create of the crash may have made: VPCs by region, peerings.
    perhaps_vpcs: [usize; 2],
    perhaps_peering: Option<(String, String)>,
    acknowledged: usize,
}

const REGIONS: [&str; 2] = [ALICE.1, BOB.1];

impl Writer {
    fn new(number: u64, seed: u64) -> Writer {
        Writer {
            dice: Dice(seed | 1),
            accounts: [format!("33333333333{number}"), format!("44444444444{number}")],
            vpcs: Default::default(),
            peerings: BTreeMap::new(),
            perhaps_vpcs: [0; 2],
            perhaps_peering: None,
            acknowledged: 0,
        }
    }

    fn clients(&self, address: SocketAddr) -> [Client; 2] {
        [0, 1].map(|side| Client::new(address, &self.accounts[side], REGIONS[side]))
    }

    fn write_until_it_crashes(&mut self, address: SocketAddr) {
        let mut clients = self.clients(address);
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.write(&mut clients).is_ok() {
            assert!(Instant::now() < deadline, "it does not crash");
        }
    }

    /// One write; an error: nobody knows whether it happened.
    fn write(&mut self, clients: &mut [Client; 2]) -> io::Result<()> {
        let waiting = self.pick(|peering| peering.is == "requested");
        let live = self.pick(|peering| peering.is == "active");
        match (self.dice.below(10), waiting, live) {
            (0..=2, ..) => self.create_vpc(clients),
            (3, ..) => self.delete_vpc(clients),
            (4..=5, Some(id), _) => self.act(clients, 1, &id, "AcceptVpcPeeringConnection", "active"),
            (6, Some(id), _) => self.act(clients, 1, &id, "RejectVpcPeeringConnection", "rejected"),
            (7, Some(id), _) => self.act(clients, 0, &id, "DeleteVpcPeeringConnection", "deleted"),
            (8, _, Some(id)) => {
                let side = usize::try_from(self.dice.below(2)).expect("a side");
                self.act(clients, side, &id, "DeleteVpcPeeringConnection", "deleted")
            }
            _ => self.request(clients),
        }
    }

    fn pick(&mut self, matches: impl Fn(&Peering) -> bool) -> Option<String> {
        let found: Vec<&String> =
            self.peerings.iter().filter(|(_, peering)| matches(peering)).map(|(id, _)| id).collect();
        let at = usize::try_from(self.dice.below(found.len().max(1) as u64)).ok()?;
        found.get(at).map(|id| (*id).clone())
    }

    fn create_vpc(&mut self, clients: &mut [Client; 2]) -> io::Result<()> {
        let side = usize::try_from(self.dice.below(2)).expect("a side");
        // The two sides' blocks never overlap.
        let query = format!("Action=CreateVpc&CidrBlock=10.{}.0.0/16", 100 + side);
        self.perhaps_vpcs[side] += 1;
        let answer = send(&mut clients[side], &query)?;
        self.perhaps_vpcs[side] -= 1;
        self.acknowledged += 1;
        let id = answer.unwrap_or_else(|refusal| panic!("{query}: {refusal:?}")).text("vpcId");
        assert!(self.vpcs[side].insert(id.clone(), false).is_none(), "{id} was made twice");
        Ok(())
    }

    /// Of a VPC that was never in a peering.
    fn delete_vpc(&mut self, clients: &mut [Client; 2]) -> io::Result<()> {
        let side = usize::try_from(self.dice.below(2)).expect("a side");
        let in_use =
            |id: &String| self.peerings.values().any(|peering| [&peering.requester, &peering.accepter].contains(&id));
        let Some(id) = self.vpcs[side].keys().find(|id| !in_use(id)).cloned() else { return Ok(()) };
        self.vpcs[side].insert(id.clone(), true);
        let query = format!("Action=DeleteVpc&VpcId={id}");
        send(&mut clients[side], &query)?.unwrap_or_else(|refusal| panic!("{query}: {refusal:?}"));
        self.vpcs[side].remove(&id);
        self.acknowledged += 1;
        Ok(())
    }

    fn request(&mut self, clients: &mut [Client; 2]) -> io::Result<()> {
        let taken =
            |id: &String| self.peerings.values().any(|peering| [&peering.requester, &peering.accepter].contains(&id));
        let free = |side: usize| self.vpcs[side].keys().find(|id| !taken(id)).cloned();
        let (Some(requester), Some(accepter)) = (free(0), free(1)) else { return self.create_vpc(clients) };
        let query = format!(
            "Action=CreateVpcPeeringConnection&VpcId={requester}&PeerVpcId={accepter}&PeerOwnerId={}&PeerRegion={}",
            self.accounts[1], REGIONS[1]
        );
        self.perhaps_peering = Some((requester.clone(), accepter.clone()));
        let answer = send(&mut clients[0], &query)?;
        self.perhaps_peering = None;
        self.acknowledged += 1;
        let id = answer.unwrap_or_else(|refusal| panic!("{query}: {refusal:?}")).text("vpcPeeringConnectionId");
        let before = self.peerings.insert(id.clone(), Peering { requester, accepter, is: "requested", perhaps: None });
        assert!(before.is_none(), "{id} was made twice");
        Ok(())
    }

    /// Accept, reject or delete, by the owner of that side.
    fn act(
        &mut self,
        clients: &mut [Client; 2],
        side: usize,
        id: &str,
        action: &str,
        becomes: &'static str,
    ) -> io::Result<()> {
        let peering = self.peerings.get_mut(id).expect("a peering");
        peering.perhaps = Some(becomes);
        let answer = send(&mut clients[side], &format!("Action={action}&VpcPeeringConnectionId={id}"))?;
        peering.perhaps = None;
        match answer {
            Ok(_) => {
                peering.is = becomes;
                self.acknowledged += 1;
            }
            // The other region has not heard of it yet, or it is on its way from one state to the next.
            Err(refusal) => {
                let too_early = ["InvalidVpcPeeringConnectionID.NotFound", "InvalidStateTransition"];
                assert!(too_early.contains(&refusal.code.as_str()), "{action} {id}: {refusal:?}");
            }
        }
        Ok(())
    }

    /// Compares what is there with what was acknowledged, and learns what became of the rest.
    fn check(&mut self, address: SocketAddr) {
        let mut clients = self.clients(address);
        for side in [0, 1] {
            self.check_vpcs(side, &mut clients[side]);
        }
        let mut states = [BTreeMap::new(), BTreeMap::new()];
        eventually("both regions have settled and agree", || {
            states = clients.each_mut().map(peerings);
            let settled = |code: &String| !["initiating-request", "provisioning", "deleting"].contains(&code.as_str());
            let [requesters, accepters] = &states;
            requesters.values().chain(accepters.values()).all(settled)
                && requesters.len() >= accepters.len()
                && requesters.iter().all(|(id, code)| accepters.get(id) == Some(code))
        });
        let [mut found, _] = states;
        for (id, peering) in &mut self.peerings {
            let code = found.remove(id).unwrap_or_else(|| panic!("{id} is lost: {peering:?}"));
            let expected = |is: &str| if is == "requested" { "pending-acceptance" } else { is }.to_owned();
            let possible: Vec<String> =
                [Some(peering.is), peering.perhaps.take()].into_iter().flatten().map(expected).collect();
            assert!(possible.contains(&code), "{id} is {code}, known is {possible:?}: {peering:?}");
            peering.is = ["active", "rejected", "deleted"].into_iter().find(|is| *is == code).unwrap_or("requested");
        }
        // At most what the crash interrupted is new.
        match (self.perhaps_peering.take(), found.pop_first()) {
            (Some((requester, accepter)), Some((id, code))) => {
                assert_eq!(code, "pending-acceptance", "{id}");
                self.peerings.insert(id, Peering { requester, accepter, is: "requested", perhaps: None });
            }
            (_, found) => assert_eq!(found, None, "nobody asked for it"),
        }
        assert!(found.is_empty(), "nobody asked for {found:?}");
    }

    fn check_vpcs(&mut self, side: usize, client: &mut Client) {
        let found = client.ok("Action=DescribeVpcs").texts("vpcId");
        let known = std::mem::take(&mut self.vpcs[side]);
        for (id, may_be_gone) in &known {
            let count = found.iter().filter(|found| *found == id).count();
            assert!(count == 1 || (count == 0 && *may_be_gone), "{id} is there {count} times");
        }
        let new = found.iter().filter(|id| !known.contains_key(*id)).count();
        assert!(new <= std::mem::take(&mut self.perhaps_vpcs[side]), "{new} VPCs nobody asked for");
        self.vpcs[side] = found.into_iter().map(|id| (id, false)).collect();
    }
}

fn send(client: &mut Client, query: &str) -> io::Result<Result<Answer, Refusal>> {
    client.call(Service::Ec2, query)
}

/// The status of every peering that the client sees.
fn peerings(client: &mut Client) -> BTreeMap<String, String> {
    let document = client.ok("Action=DescribeVpcPeeringConnections");
    let (ids, codes) = (document.texts("vpcPeeringConnectionId"), document.texts("code"));
    assert_eq!(ids.len(), codes.len(), "{}", document.0);
    let count = ids.len();
    let found: BTreeMap<String, String> = ids.into_iter().zip(codes).collect();
    assert_eq!(found.len(), count, "a peering is shown twice: {}", document.0);
    found
}

/// Another sequence in each run, printed so that a failure can be told from others: the moments of the crashes are not
/// repeatable anyway.
struct Dice(u64);

impl Dice {
    fn new() -> Dice {
        let seed = u64::try_from(crate::common::api::now().as_unix_millis()).expect("after 1970");
        println!("seed {seed}");
        Dice(seed | 1)
    }

    fn next(&mut self) -> u64 {
        // xorshift64 (Marsaglia 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
