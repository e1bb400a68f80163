//! Shapes of `ExplainReachability`, an action of Peerway's own service: why can't A reach B (users ch. 4)?

use model::{AccountId, NetworkInterfaceId, Region, VpcId};

input! {
    /// The operator's account is told everything, others their own side.
    ExplainReachability {
        /// An instance, an interface, an address, a private host name or a Name tag; `10.0.0.1@vpc-..` where several VPCs have an address.
        /// Of many: a subnet, or a block such as `10.0.0.0/24`.
        source: String = "Source",
        /// The same. An address is whoever has it where the packet goes.
        destination: String = "Destination",
        /// `tcp`, `udp`, `icmp` or a number; without one, `icmp`.
        protocol: Option<String> = "Protocol",
        /// A port or a range such as `1-1024`; without one, all of them.
        destination_port: Option<String> = "DestinationPort",
        /// Without one, those that Linux gives to clients.
        source_port: Option<String> = "SourcePort",
        /// 4 or 6; without one, those that both ends have.
        ip_version: Option<i32> = "IpVersion",
        /// Without the reply's way home.
        one_way: Option<bool> = "OneWay",
        /// Calls not made yet, each a JSON object such as `{"Action": "CreateRoute", "Account": "..", "Region": "..", ..}`.
        what_if: Vec<String> = "WhatIf",
    }
}

output! {
    ReachResult {
        /// Every packet that was asked about passes.
        reachable: bool = "Reachable",
        verdict: String = "Verdict",
        /// With `WhatIf`: whether it is reachable without these calls.
        reachable_now: Option<bool> = "ReachableNow",
        /// One for each family of addresses.
        answers: Vec<ReachAnswer> = "Answers",
        /// What was taken for granted.
        assumptions: Vec<String> = "Assumptions",
    }
}

output! {
    ReachAnswer {
        ip_version: i32 = "IpVersion",
        reachable: bool = "Reachable",
        verdict: String = "Verdict",
        protocol: String = "Protocol",
        source_interface: NetworkInterfaceId = "SourceInterface",
        source_address: String = "SourceAddress",
        destination_interface: Option<NetworkInterfaceId> = "DestinationInterface",
        destination_address: String = "DestinationAddress",
        /// Packets that share a fate, by their ports.
        cases: Vec<ReachCase> = "Cases",
    }
}

output! {
    ReachCase {
        /// Of a set of senders: `10.0.0.4`, or `10.0.0.6-10.0.0.9`. Empty: the one that was asked about.
        sources: Vec<String> = "Sources",
        destinations: Vec<String> = "Destinations",
        /// Nobody that can be seen has these destinations, so that they do not count.
        vacant: Option<bool> = "Vacant",
        /// `32768-60999`.
        source_ports: Option<String> = "SourcePorts",
        destination_ports: Option<String> = "DestinationPorts",
        reachable: bool = "Reachable",
        /// Every blocker is among them: with all mends made it is reachable.
        complete: bool = "Complete",
        forward: Vec<ReachHop> = "Forward",
        back: Vec<ReachHop> = "Back",
        blockers: Vec<ReachBlocker> = "Blockers",
    }
}

output! {
    ReachHop {
        stage: String = "Stage",
        passes: bool = "Passes",
        component: Option<String> = "Component",
        /// The id or number of the rule, the destination of the route.
        rule: Option<String> = "Rule",
        text: String = "Text",
        vpc: VpcId = "Vpc",
        account: AccountId = "Account",
        region: Region = "Region",
        header_before: String = "HeaderBefore",
        header_after: String = "HeaderAfter",
        /// Numbers of the blockers here, from 1.
        blockers: Vec<i32> = "BlockerNumbers",
    }
}

output! {
    ReachBlocker {
        number: i32 = "Number",
        /// `forward` or `back`.
        way: String = "Way",
        stage: String = "Stage",
        /// `D08`.
        reason: Option<String> = "Reason",
        /// The Reachability Analyzer's.
        explanation_code: Option<String> = "ExplanationCode",
        text: String = "Text",
        vpc: VpcId = "Vpc",
        account: AccountId = "Account",
        region: Region = "Region",
        mends: Vec<ReachMend> = "Mends",
    }
}

output! {
    /// One command that lifts a blocker, or a part of it.
    ReachMend {
        /// Who must run it.
        account: AccountId = "Account",
        region: Region = "Region",
        aws_cli: String = "AwsCli",
        terraform: String = "Terraform",
    }
}
