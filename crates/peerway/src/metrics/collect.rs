//! From what agents and control plane counted to the lines of a page.

use agent::{HostStatus, LinkDirection, LinkStatus};
use server::meters::{Ended, Readings};

use super::catalogue::*;
use super::page::Page;

/// What one host counted.
pub fn host(page: &mut Page, status: &HostStatus) {
    let name = status.host.to_string();
    let name = name.as_str();
    for instance in &status.instances {
        let id = instance.instance.to_string();
        for interface in &instance.interfaces {
            let eni = interface.interface.to_string();
            let ways = [
                ("from_guest", interface.received),
                ("to_guest", interface.delivered),
                ("from_router", interface.answered),
            ];
            for (direction, (packets, bytes)) in ways {
                page.add(&INTERFACE_PACKETS, &[name, &id, &eni, direction], packets);
                page.add(&INTERFACE_BYTES, &[name, &id, &eni, direction], bytes);
            }
            // Only those that occurred: 39 for each would be too many, and a counter may begin late.
            for (reason, _, packets) in &interface.drops {
                page.add(&DROPPED, &[name, &id, &eni, reason], packets);
            }
            for (result, packets) in [("hit", interface.cache.0), ("miss", interface.cache.1)] {
                page.add(&LOOKUPS, &[name, &eni, result], packets);
            }
            page.add(&INTERFACE_FLOWS, &[name, &eni], interface.flows);
        }
    }
    for stray in &status.strays {
        page.add(&STRAY_DROPS, &[name, &stray.reason, &stray.cause], stray.packets);
    }
    page.add(&FLOWS, &[name], status.tracked.flows);
    page.add(&FLOWS_LIMIT, &[name, "host"], status.tracked.flows_max);
    page.add(&FLOWS_LIMIT, &[name, "interface"], status.tracked.flows_per_interface_max);
    page.add(&INSTANCES, &[name], status.instances.len());
    for (region, revision) in &status.revisions {
        page.add(&IN_FORCE, &[name, region.as_str()], revision);
    }
    status.links.iter().for_each(|one| link(page, name, one));
}

fn link(page: &mut Page, host: &str, link: &LinkStatus) {
    let (peer, from, to) = (link.host.to_string(), link.domain.from.to_string(), link.domain.to.to_string());
    let scope = link.domain.scope.to_string();
    let direction = match link.direction {
        LinkDirection::Sending => "sending",
        LinkDirection::Receiving => "receiving",
    };
    let labels = [host, &peer, &from, &to, &scope, direction];
    page.add(&LINK_KEYS, &labels, link.associations);
    // In whole milliseconds; a key's age is not known better.
    let millis = link.age.as_millis();
    page.add(&LINK_KEY_AGE, &labels, format_args!("{}.{:03}", millis / 1000, millis % 1000));
    page.add(&LINK_REKEYS, &labels, link.rekeys);
    page.add(&LINK_PACKETS, &labels, link.packets);
    page.add(&LINK_BYTES, &labels, link.bytes);
    if link.direction == LinkDirection::Receiving {
        for (cause, datagrams) in [("replayed", link.replayed), ("not_authentic", link.authentication_failures)] {
            page.add(&LINK_REFUSED, &[host, &peer, &from, &to, &scope, cause], datagrams);
        }
    }
}

/// What the control plane counted.
pub fn control(page: &mut Page, readings: &Readings) {
    for request in &readings.requests {
        for (ended, count) in Ended::ALL.iter().zip(request.ended) {
            page.add(&API_REQUESTS, &[request.service, request.action, ended.name()], count);
        }
        page.histogram(&API_DURATION, &[request.service, request.action], &request.took);
    }
    for (code, count) in &readings.errors {
        page.add(&API_ERRORS, &[code], count);
    }
    for (cause, count) in &readings.refusals {
        page.add(&API_REFUSALS, &[cause], count);
    }
    for (log, count) in &readings.lost_lines {
        page.add(&LOST_LINES, &[log], count);
    }
    page.histogram(&CONVERGENCE, &[], &readings.convergence);
    page.add(&CONVERGENCE_TIMEOUTS, &[], readings.convergence_timeouts);
    for host in &readings.hosts {
        let name = host.host.to_string();
        page.add(&HOST_CONNECTED, &[&name], u8::from(host.is_connected));
        for (region, behind) in &host.behind {
            page.add(&HOST_BEHIND, &[&name, region.as_str()], behind);
        }
    }
    for one in &readings.regions {
        let region = one.region.as_str();
        page.add(&REVISION, &[region], one.revision);
        for (kind, count) in one.objects {
            page.add(&OBJECTS, &[region, kind], count);
        }
        page.add(&WRITER_QUEUE, &[region], one.waiting);
        page.histogram(&COMMIT, &[region], &one.commits);
        page.add(&TRANSACTIONS, &[region], one.transactions);
        page.add(&TRANSACTIONS_REFUSED, &[region], one.refused);
    }
}
