//! Server and agents as processes of their own, each in a network namespace, joined by an underlay that leads nowhere else.
//!
//! Needs root: it makes namespaces.

#[path = "../common/mod.rs"]
mod common;
mod flows;
mod machines;
mod nat;
mod rotation;
mod sessions;
mod takeover;
mod uplink;

use std::process::Stdio;
use std::sync::Barrier;
use std::time::Duration;

use common::eventually;
use common::running::{Guest, admit, guests, network, wait_for_state};
use machines::{AGENTS, Machine, Machines, ping_counts};

#[test]
fn hosts_join_carry_packets_without_the_server_and_are_cut_off() {
    let machines = Machines::new();
    let mut server = machines.server();
    let token = |host: Option<&str>| machines.token(host);

    // A token that names another authority, and one that nobody made.
    let good = token(None);
    let other = format!("{}{}", &good[..good.len() - 64], "0".repeat(64));
    let refused = machines.refused_join(0, "host-1", &other);
    assert!(refused.contains("authority is not the one that the join token names (0000"), "{refused}");
    let unknown = format!("peerway-join-{}-{}", "0".repeat(64), &good[good.len() - 64..]);
    let refused = machines.refused_join(0, "host-1", &unknown);
    assert!(refused.contains("unknown, spent, expired or another host's"), "{refused}");
    let refused = machines.refused_join(0, "host-1", "nonsense");
    assert!(refused.contains("a join token has the form") && !refused.contains("nonsense"), "{refused}");

    // Two hosts race for one token: one is in, the other is refused by name.
    let start = Barrier::new(2);
    let mut raced: Vec<Result<Machine, String>> = std::thread::scope(|scope| {
        let races = [0, 1].map(|n| {
            let (machines, start, good) = (&machines, &start, &good);
            scope.spawn(move || {
                start.wait();
                machines.agent(n, Some(good))
            })
        });
        races.map(|race| race.join().expect("no panic")).into_iter().collect()
    });
    let lost = raced.iter().position(Result::is_err).expect("one is refused");
    let why = raced.remove(lost).map(drop).expect_err("refused");
    assert!(why.contains("unknown, spent, expired or another host's"), "{why}");
    let won = raced.remove(0).expect("the other one is in");
    let last = machines.agent(lost, Some(&token(Some(AGENTS[lost])))).expect("its own token lets it in");
    let mut agents = if lost == 0 { [last, won] } else { [won, last] };
    assert!(agents.iter().all(|agent| agent.was_ready), "READY=1 was sent");
    assert!(server.was_ready, "READY=1 was sent");
    eventually("both hosts are connected", || machines.connected() == AGENTS);
    // A name that is taken needs a token of its own.
    let taken = machines.refused_join(2, AGENTS[0], &token(None));
    assert!(taken.contains("has joined already, with another key"), "{taken}");
    for secret in [&good[13..77], &other[13..77]] {
        assert!(!server.log().contains(secret) && agents.iter().all(|agent| !agent.log().contains(secret)));
    }

    // One instance on each, and sealed packets between them.
    let (subnet, pair) = machines.api(|client| {
        let network = network(client, "10.16");
        admit(client, &network.vpc, "10.16.0.0/16");
        let pair = guests(client, &network.subnet, 2, "");
        (network.subnet, pair)
    });
    let carrier = |guest: &Guest| machines.carrier(&guest.id);
    let (first, second) = (&pair[0], &pair[1]);
    assert_ne!(carrier(first), carrier(second), "instances spread over the hosts");
    let (at_first, at_second) = (carrier(first), carrier(second));
    eventually("a ping crosses", || machines.pings(at_first, first, second));
    assert!(machines.links(at_first) > 0, "the packets went over a sealed link");

    // kill -9 of the server: nothing is lost.
    let flood = machines
        .exec(at_first, &first.id, &["ping", "-i", "0.05", "-c", "160", "-W", "2", &second.address])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    std::thread::sleep(Duration::from_secs(1));
    server.kill();
    let output = flood.wait_with_output().expect("it ends");
    let (sent, received) = ping_counts(&String::from_utf8_lossy(&output.stdout));
    assert_eq!((sent, received), (160, 160), "a packet was lost when the server was killed");

    // The server is back: hosts find it by themselves, and it can tell them something new.
    let mut server = machines.server();
    eventually("both hosts are connected again", || machines.connected() == AGENTS);
    let third = machines.api(|client| guests(client, &subnet, 1, "").remove(0));
    eventually("the new instance is reached", || machines.pings(at_second, second, &third));
    machines.api(|client| {
        client.ok(&format!("Action=TerminateInstances&InstanceId.1={}", third.id));
        wait_for_state(client, &third.id, "terminated");
    });

    // A restarted agent needs no token, and renews a certificate that is past half of its life.
    agents[0].stop();
    let renewed_from = machines.age_certificate(0);
    agents[0] = machines.agent(0, None).expect("it has its certificate");
    eventually("both hosts are connected once more", || machines.connected() == AGENTS);
    eventually("packets cross again", || machines.pings(at_first, first, second));

    eventually("the certificate is renewed", || machines.certificate_expires(0) > renewed_from);

    // Revoked: cut off by the server and by the other host, at once and for good, in both directions.
    let (kept, cut) = if at_first == 0 { (first, second) } else { (second, first) };
    eventually("packets cross that way, too", || machines.pings(1, cut, kept));
    machines.operator(&["host", "revoke", AGENTS[1]]);
    eventually("the revoked host is not connected", || machines.connected() == AGENTS[..1]);
    eventually("the other host has no key of it", || machines.links(0) == 0);
    let echoes = machines.echoes(0, kept);
    assert!(!machines.pings(0, kept, cut) && !machines.pings(1, cut, kept));
    assert_eq!(machines.echoes(0, kept), echoes, "a packet of a revoked host came in");
    agents[1].stop();
    agents[1] = machines.agent(1, None).expect("it starts, and is refused");
    eventually("it is told so", || agents[1].log().contains("this host was revoked"));
    assert_eq!(machines.connected(), AGENTS[..1]);
    agents.iter_mut().for_each(Machine::stop);
    server.stop();
}

#[test]
fn without_a_token_or_a_host_the_answer_says_what_to_do() {
    let machines = Machines::new();
    let mut server = machines.server();
    let refused = machines.agent(0, None).map(drop).expect_err("it has not joined");
    assert!(refused.contains("peerway token create"), "{refused}");
    let refusal = machines.api(|client| {
        let network = network(client, "10.16");
        client.refused(&format!(
            "Action=RunInstances&ImageId=ami-12345678&MinCount=1&MaxCount=1&SubnetId={}",
            network.subnet
        ))
    });
    assert_eq!(refusal.code, "InsufficientInstanceCapacity");
    // Not with the key of an account.
    let refusal = machines.api(|client| {
        let answer = client.call(ec2::service::Service::Peerway, "Action=CreateJoinToken").expect("an answer");
        answer.map(drop).expect_err("refused")
    });
    assert_eq!((refusal.code.as_str(), refusal.status), ("AccessDenied", 403));
    server.stop();
}
