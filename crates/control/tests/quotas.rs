//! An account that may have more, or less, than others (spec ch. 13).

mod common;

use common::*;
use control::Quotas;

fn vpcs(number: usize) -> Quotas {
    Quotas { vpcs: number, ..Quotas::default() }
}

#[test]
fn an_account_has_its_own_quotas_and_the_others_everybodys() {
    let mut cloud = Harness::new();
    cloud.config.quotas = vpcs(1);
    cloud.config.account_quotas = [(ALICE.parse().unwrap(), vpcs(2))].into();
    let create = "Action=CreateVpc&CidrBlock=10.0.0.0/16";
    for (account, most) in [(ALICE, 2), (BOB, 1)] {
        (0..most).for_each(|_| drop(cloud.ok(account, create)));
        assert_eq!(cloud.code(account, create), "VpcLimitExceeded", "{account}");
    }
}

/// Both sides of a peering count, each by its own owner's quota, whoever accepts.
#[test]
fn a_peering_is_held_against_the_quota_of_each_sides_owner() {
    let peerings = |number| Quotas { active_peerings_per_vpc: number, ..Quotas::default() };
    let accepts = |all: usize, own: &[(&str, usize)]| {
        let mut cloud = Harness::new();
        cloud.config.quotas = peerings(all);
        cloud.config.account_quotas =
            own.iter().map(|(who, number)| (who.parse().unwrap(), peerings(*number))).collect();
        let mine = text(&cloud.ok(ALICE, "Action=CreateVpc&CidrBlock=10.0.0.0/16"), "vpcId");
        let theirs = text(&cloud.ok(BOB, "Action=CreateVpc&CidrBlock=10.1.0.0/16"), "vpcId");
        let request = format!("Action=CreateVpcPeeringConnection&VpcId={mine}&PeerVpcId={theirs}&PeerOwnerId={BOB}");
        let pcx = text(&cloud.ok(ALICE, &request), "vpcPeeringConnectionId");
        for _ in 0..4 {
            let heard = control::federation::deliver_here(&cloud.world, &cloud.config, cloud.now);
            cloud.world = cloud.world.apply(&heard);
        }
        cloud
            .call(BOB, &format!("Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={pcx}"))
            .map_err(|error| error.code)
    };
    let full = "ActiveVpcPeeringConnectionPerVpcLimitExceeded";
    assert!(accepts(1, &[]).is_ok() && accepts(0, &[(ALICE, 1), (BOB, 1)]).is_ok());
    assert_eq!(accepts(1, &[(ALICE, 0)]).unwrap_err(), full, "the requester's owner may have none");
    assert_eq!(accepts(1, &[(BOB, 0)]).unwrap_err(), full, "the accepter's owner may have none");
    assert_eq!(accepts(0, &[(BOB, 1)]).unwrap_err(), full, "what the accepter's may have is not the requester's");
}
