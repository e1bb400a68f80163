//! What the random test found.

use super::stage::{A, B, Stage, anybody, p, send, send_frame, set_instance, tcp};
use model::{
    AclAction, Direction, InstanceState, IpProtocol, MacAddr, NetworkAcl, NetworkAclEntry, NetworkInterface, Ports, Vpc,
};
use sim::packet::{ACK, NextHop, SYN, Sent};

/// Spec 11.2: step 1 (MAC) comes before step 2 (state). The data plane looked at the state first.
#[test]
fn a_wrong_mac_is_named_before_a_stopped_instance() {
    let mut stage = Stage::new();
    let (a, region) = (stage.site(A), stage.region);
    let x = stage.interface(a, "10.16.0.10");
    let mut rig = stage.rig();
    let packet = tcp(("10.16.0.10", 1000), ("10.16.0.11", 80), SYN);
    let forged = Sent { from: x, src_mac: MacAddr([2, 0, 0, 0, 0, 1]), to: NextHop::Router, packet: packet.clone() };
    assert_eq!(send_frame(&mut rig, &forged), "D01");
    set_instance(&mut rig, region, x, InstanceState::Stopped);
    assert_eq!(send_frame(&mut rig, &forged), "D01");
    assert_eq!(send(&mut rig, x, packet), "D02");
}

/// Spec 11.2: step 11 (ACL) comes before step 12 (state), whether or not the receiver's device is still plugged in. The data plane said D20
/// as soon as the device was gone, so that its counters and an analysis of the path named different reasons.
#[test]
fn the_acl_is_named_before_a_receiver_without_a_port() {
    let mut stage = Stage::new();
    let (a, b, region) = (stage.site(A), stage.site(B), stage.region);
    let x = stage.interface(a, "10.16.0.10");
    // Of what is down, every second one is unplugged: one of these two.
    let ys = [stage.interface(b, "10.17.0.10"), stage.interface(b, "10.17.0.11")];
    stage.peer(a, b);
    let mut rig = stage.rig();
    for y in ys {
        set_instance(&mut rig, region, y, InstanceState::Stopped);
    }
    for to in ["10.17.0.10", "10.17.0.11"] {
        assert_eq!(send(&mut rig, x, tcp(("10.16.0.10", 1000), (to, 80), SYN)), "D20");
    }
    let acl = rig.scene.find::<Vpc>(&b.vpc).expect("the VPC").1.default_acl;
    rig.scene.update::<NetworkAcl>(region, &acl, |acl| {
        let (protocol, action, ports) = (IpProtocol::All, AclAction::Deny, Ports::Any);
        acl.ingress.insert(1, NetworkAclEntry { protocol, action, cidr: p("10.16.0.0/16"), ports });
    });
    rig.configure();
    for to in ["10.17.0.10", "10.17.0.11"] {
        assert_eq!(send(&mut rig, x, tcp(("10.16.0.10", 1000), (to, 80), SYN)), "D19");
    }
}

/// Spec 6.4.2: a flow is untracked if its first packet is admitted from or to everybody and the other direction admits everybody on ALL
/// ports. X opens a connection from port 80, on which it also serves the world: that flow is tracked, for its answers are admitted on one
/// port only. The law took the SYN for an answer of a flow that somebody else began.
#[test]
fn a_syn_from_a_server_port_begins_a_tracked_flow() {
    let mut stage = Stage::new();
    let (a, b, region) = (stage.site(A), stage.site(B), stage.region);
    let (x, y) = (stage.interface(a, "10.16.0.10"), stage.interface(b, "10.17.0.10"));
    stage.peer(a, b);
    stage.allow(a.group, Direction::Ingress, "tcp", 80, anybody());
    stage.allow(b.group, Direction::Ingress, "tcp", 443, anybody());
    let mut rig = stage.rig();
    let ask = tcp(("10.16.0.10", 80), ("10.17.0.10", 443), SYN);
    assert_eq!(send(&mut rig, x, ask.clone()), "ok");
    assert_eq!(send(&mut rig, y, ask.answered()), "ok");
    Stage::revoke(&mut rig.scene, region, a.group, Direction::Ingress);
    rig.configure();
    assert_eq!(send(&mut rig, y, tcp(("10.17.0.10", 443), ("10.16.0.10", 80), ACK)), "ok", "tracked flows survive");

    // A flow that a client began there is untracked, and dies with its rule.
    let mut stage = Stage::new();
    let (a, b, region) = (stage.site(A), stage.site(B), stage.region);
    let (_, y) = (stage.interface(a, "10.16.0.10"), stage.interface(b, "10.17.0.10"));
    stage.peer(a, b);
    stage.allow(a.group, Direction::Ingress, "tcp", 80, anybody());
    let mut rig = stage.rig();
    let ask = tcp(("10.17.0.10", 443), ("10.16.0.10", 80), SYN);
    assert_eq!(send(&mut rig, y, ask), "ok");
    Stage::revoke(&mut rig.scene, region, a.group, Direction::Ingress);
    rig.configure();
    assert_eq!(send(&mut rig, y, tcp(("10.17.0.10", 443), ("10.16.0.10", 80), ACK)), "D22");
}

/// A known gap. Spec 11.2 step 5 and 7.3 ask no ACL on the link, so neither of what a router forwards to a neighbour. But such a packet has
/// lost its sender, and who receives it cannot know that it never left the link: the ACL is asked, which denies more, never less.
#[test]
fn what_a_router_forwards_to_a_neighbour_meets_the_acl() {
    let mut stage = Stage::new();
    let (a, region) = (stage.site(A), stage.region);
    let (m, y) = (stage.interface(a, "10.16.0.20"), stage.interface(a, "10.16.0.30"));
    stage.allow(a.group, Direction::Ingress, "tcp", 80, anybody());
    let mut rig = stage.rig();
    let acl = rig.scene.find::<Vpc>(&a.vpc).expect("the VPC").1.default_acl;
    rig.scene.update::<NetworkAcl>(region, &acl, |acl| acl.ingress.clear());
    rig.scene.update::<NetworkInterface>(region, &m, |m| m.source_dest_check = false);
    rig.configure();
    let mac = |id| rig.scene.find::<NetworkInterface>(&id).expect("it is there").1.mac;
    let on_link = |src| Sent {
        from: m,
        src_mac: mac(m),
        to: NextHop::Mac(mac(y)),
        packet: tcp((src, 1000), ("10.16.0.30", 80), SYN),
    };
    let (own, foreign) = (on_link("10.16.0.20"), on_link("192.0.2.7"));
    assert_eq!(send_frame(&mut rig, &own), "ok");
    assert_eq!(send_frame(&mut rig, &foreign), "D19");
}
