//! The authority's key is replaced while packets go on.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::common::eventually;
use crate::machines::{AGENTS, Machine};
use crate::takeover::{Cloud, check};

/// What `peerway ca show` says.
fn authority(cloud: &Cloud) -> Value {
    cloud.machines.operator_json(&["ca", "show"])
}

#[test]
fn the_authority_is_rotated_without_a_lost_connection() {
    let mut cloud = Cloud::start();
    let old = authority(&cloud)["key"].clone();
    let token = cloud.machines.token(None);

    // A host that is away is waited for: it would be cut off.
    cloud.agents[1].stop();
    let begun = cloud.machines.operator_fails(&["ca", "rotate", "--wait", "1s"]);
    assert!(begun.contains("not over yet"), "{begun}");
    let shown = authority(&cloud);
    assert_eq!((&shown["key"], &shown["phase"]), (&old, &Value::from("announced")), "{shown}");
    assert_eq!(shown["waits_for"][0]["host"], AGENTS[1], "{shown}");
    let again = cloud.machines.operator_fails(&["ca", "rotate"]);
    assert!(again.contains("IncorrectState"), "{again}");
    let believed = cloud.machines.identity(0).beliefs().0.len();
    assert_eq!(believed, 2, "the other one believes both");

    // A server that is killed meanwhile goes on with it.
    cloud.server.kill();
    cloud.server = cloud.machines.server();
    cloud.restart(1);
    eventually("the rotation is over", || authority(&cloud)["phase"] == "steady");
    let new = authority(&cloud)["key"].clone();
    assert_ne!(old, new);
    for n in 0..AGENTS.len() {
        let told = || {
            let (roots, by) = cloud.machines.identity(n).beliefs();
            let roots: BTreeSet<String> = roots.iter().map(ToString::to_string).collect();
            (roots, by.map(|key| key.to_string()))
        };
        let new = new.as_str().expect("text").to_owned();
        eventually("a host believes the new one alone", || told() == ([new.clone()].into(), Some(new.clone())));
    }

    // New sessions, too, with nothing but the new authority; and with the server.
    let flows = cloud.flows();
    cloud.agents[0].kill();
    cloud.restart(0);
    eventually("both hosts are connected", || cloud.machines.connected() == AGENTS);
    std::thread::sleep(Duration::from_secs(2));
    check(flows);
    // A token of before names an authority that is no more; a new one names the new.
    let refused = cloud.machines.refused_join(2, "host-3", &token);
    assert!(refused.contains("authority is not the one that the join token names"), "{refused}");
    let token = cloud.machines.token(None);
    assert!(token.ends_with(new.as_str().expect("text")), "{token}");

    // With every host there it is over at once.
    let flows = cloud.flows();
    std::thread::sleep(Duration::from_millis(500));
    let rotated = cloud.machines.operator_json(&["ca", "rotate"]);
    assert_eq!(rotated["phase"], "steady", "{rotated}");
    assert_ne!(rotated["key"], new);
    std::thread::sleep(Duration::from_millis(500));
    check(flows);
    cloud.agents.iter_mut().for_each(Machine::stop);
    cloud.server.stop();
}
