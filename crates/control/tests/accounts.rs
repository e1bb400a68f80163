//! Accounts, keys, roles and whom they are for (spec 1.1, 1.6); abuse cases 47, 48 and 50: the confused deputy.

use control::accounts::{self, Asker};
use control::sts;
use ec2::service::{AssumeRole, AssumedRole, GetSessionToken};
use ec2::{Caller, Error, FromQuery, Node};
use model::credential::{AccessKey, Session};
use model::*;

const ALICE: &str = "111111111111";
const BOB: &str = "222222222222";
const CAROL: &str = "333333333333";
const OPERATOR: &str = "000000000000";
const NETOPS: &str = "arn:aws:iam::222222222222:role/netops";

struct Cloud {
    world: World,
    now: Time,
    draws: u8,
}

fn caller(account: &str) -> Caller {
    Caller::root(account.parse().unwrap())
}

/// Who holds a session of that role.
fn session(account: &str, role: &str) -> Caller {
    let arn = format!("arn:aws:sts::{account}:assumed-role/{role}/test");
    Caller { arn, ..caller(account) }
}

fn parse<T: FromQuery>(query: &str) -> T {
    T::from_query(Some(&Node::parse(query.as_bytes()).unwrap()), "")
        .unwrap_or_else(|error| panic!("{query}: {error:?}"))
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> (String, u16) {
    let error = result.unwrap_err();
    (error.code.into_owned(), error.status)
}

fn denied() -> (String, u16) {
    ("AccessDenied".into(), 403)
}

impl Cloud {
    fn new() -> Cloud {
        Cloud { world: World::default(), now: Time::parse("2026-01-15T12:00:00Z").unwrap(), draws: 0 }
    }

    fn seed(&mut self) -> control::Seed {
        self.draws += 1;
        [self.draws; 32]
    }

    fn apply<T>(&mut self, result: Result<(T, Vec<Change>), Error>) -> Result<T, Error> {
        let (reply, changes) = result?;
        self.world = self.world.apply(&changes);
        Ok(reply)
    }

    fn assume(&mut self, who: &Caller, query: &str, is_open: bool) -> Result<AssumedRole, Error> {
        let request: AssumeRole = parse(&format!("RoleSessionName=test&{query}"));
        let seed = self.seed();
        let result = sts::assume_role(&self.world, who, &request, is_open, seed, self.now);
        self.apply(result)
    }

    fn trust(&mut self, query: &str) {
        let result = accounts::put_role(&self.world, &asker(&caller(OPERATOR)), &parse(query), self.now);
        self.apply(result).unwrap();
    }

    fn key(&mut self, who: &str, account: &str) -> Result<String, Error> {
        let (who, seed) = (caller(who), self.seed());
        let result = sts::create_access_key(&self.world, &asker(&who), account.parse().unwrap(), seed, self.now);
        self.apply(result).map(|key| key.access_key_id)
    }

    fn set(&mut self, who: &Caller, key: &str, status: &str) -> Result<(), Error> {
        let request = parse(&format!("AccessKeyId={key}&Status={status}"));
        let result = accounts::update_access_key(&self.world, &asker(who), &request);
        self.apply(result).map(drop)
    }

    fn delete(&mut self, who: &Caller, key: &str) -> Result<(), Error> {
        let result = accounts::delete_access_key(&self.world, &asker(who), &parse(&format!("AccessKeyId={key}")));
        self.apply(result).map(drop)
    }
}

fn asker(caller: &Caller) -> Asker<'_> {
    Asker { caller, is_session: false }
}

#[test]
fn a_role_that_nobody_wrote_down_is_for_its_own_account_or_where_accounts_are_taken_at_their_word_for_all() {
    let mut cloud = Cloud::new();
    let role = format!("RoleArn={NETOPS}");
    cloud.assume(&caller(BOB), &role, false).unwrap();
    assert_eq!(code(cloud.assume(&caller(ALICE), &role, false)), denied());
    let assumed = cloud.assume(&caller(ALICE), &role, true).unwrap();
    assert_eq!(assumed.assumed_role_user.arn, "arn:aws:sts::222222222222:assumed-role/netops/test");
}

#[test]
fn a_role_that_was_written_down_is_for_those_it_names_and_nobody_else_in_either_mode() {
    let mut cloud = Cloud::new();
    cloud.trust(&format!("RoleArn={NETOPS}&Trusted.1={ALICE}&Trusted.2=arn:aws:iam::{CAROL}:role/deploy"));
    let role = format!("RoleArn={NETOPS}");
    for is_open in [false, true] {
        let key = cloud.assume(&caller(ALICE), &role, is_open).unwrap().credentials.access_key_id;
        assert_eq!(cloud.world.access_keys.get(&key).unwrap().account, BOB.parse().unwrap());
        cloud.assume(&session(ALICE, "any"), &role, is_open).unwrap();
        cloud.assume(&session(CAROL, "deploy"), &role, is_open).unwrap();
        for who in [caller(BOB), caller(CAROL), session(CAROL, "other"), session(BOB, "deploy"), caller(OPERATOR)] {
            assert_eq!(code(cloud.assume(&who, &role, is_open)), denied(), "{}", who.arn);
        }
    }
    // A path is no way around the list.
    let with_path = format!("RoleArn={}", NETOPS.replace("role/", "role/a/b/"));
    assert_eq!(code(cloud.assume(&caller(CAROL), &with_path, true)), denied());
    cloud.trust(&format!("RoleArn={NETOPS}&Trusted.1=*"));
    cloud.assume(&caller(CAROL), &role, false).unwrap();
}

#[test]
fn who_may_not_does_not_learn_why() {
    let mut cloud = Cloud::new();
    cloud.trust(&format!("RoleArn={NETOPS}&Trusted.1={ALICE}&ExternalId=shop-7"));
    let texts = [
        (caller(CAROL), NETOPS.to_owned()),
        (caller(CAROL), NETOPS.replace("netops", "nobody")),
        (caller(ALICE), NETOPS.to_owned()),
    ]
    .map(|(who, role)| {
        let error = cloud.assume(&who, &format!("RoleArn={role}"), false).unwrap_err();
        error.message.replace(&who.arn, "WHO").replace(&role, "ROLE")
    });
    let expected = "User: WHO is not authorized to perform: sts:AssumeRole on resource: ROLE";
    assert_eq!(texts, [expected; 3]);
}

/// Abuse case 50: Alice acts for many; a customer must not have her act on another's role.
#[test]
fn who_acts_for_several_names_for_whom() {
    let mut cloud = Cloud::new();
    cloud.trust(&format!("RoleArn={NETOPS}&Trusted.1={ALICE}&ExternalId=shop-7"));
    for wrong in ["", "&ExternalId=shop-8", "&ExternalId=shop-77", "&ExternalId=SHOP-7"] {
        assert_eq!(code(cloud.assume(&caller(ALICE), &format!("RoleArn={NETOPS}{wrong}"), true)), denied(), "{wrong}");
    }
    cloud.assume(&caller(ALICE), &format!("RoleArn={NETOPS}&ExternalId=shop-7"), false).unwrap();
    // Nobody is told the id.
    let roles = accounts::list_roles(&cloud.world, &asker(&caller(BOB)), &parse("")).unwrap().roles;
    assert!(roles[0].has_external_id && !format!("{roles:?}").contains("shop-7"));
}

#[test]
fn sessions_last_as_long_as_they_may_and_no_longer() {
    let mut cloud = Cloud::new();
    let of = |seconds: &str| format!("RoleArn={NETOPS}&DurationSeconds={seconds}");
    for (seconds, bound) in [("899", "greater than or equal to 900"), ("43201", "less than or equal to 43200")] {
        let error = cloud.assume(&caller(BOB), &of(seconds), true).unwrap_err();
        assert_eq!(&*error.code, "ValidationError");
        assert!(error.message.contains(bound) && error.message.contains(seconds), "{}", error.message);
    }
    let expires = cloud.assume(&caller(BOB), &of("43200"), true).unwrap().credentials.expiration;
    assert_eq!(expires, cloud.now + Duration::hours(12));
    cloud.trust(&format!("RoleArn={NETOPS}&Trusted.1={BOB}&MaxSessionDuration=1800"));
    let error = cloud.assume(&caller(BOB), &of("1801"), true).unwrap_err();
    assert_eq!(error.message, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.");
    cloud.assume(&caller(BOB), &of("1800"), true).unwrap();
    // A session that asks for a session: an hour.
    let other = NETOPS.replace("netops", "other");
    let chained = |seconds: i32| format!("RoleArn={other}&DurationSeconds={seconds}");
    cloud.assume(&session(BOB, "netops"), &chained(3600), true).unwrap();
    let error = cloud.assume(&session(BOB, "netops"), &chained(3601), true).unwrap_err();
    assert!(error.message.contains("role chaining"), "{}", error.message);
}

#[test]
fn an_accounts_own_session_is_the_account_and_makes_no_other() {
    let mut cloud = Cloud::new();
    let ask = |cloud: &mut Cloud, is_session, query: &str| {
        let (request, seed): (GetSessionToken, _) = (parse(query), cloud.seed());
        let result = sts::session_token(&cloud.world, &caller(ALICE), is_session, &request, seed, cloud.now);
        cloud.apply(result)
    };
    let given = ask(&mut cloud, false, "").unwrap().credentials;
    assert_eq!(given.expiration, cloud.now + Duration::hours(12));
    let key = cloud.world.access_keys.get(&given.access_key_id).unwrap();
    assert_eq!((key.account, &key.session.as_ref().unwrap().role), (ALICE.parse().unwrap(), &None));
    assert_eq!(code(ask(&mut cloud, true, "")), denied());
    for wrong in ["DurationSeconds=899", "DurationSeconds=129601"] {
        assert_eq!(code(ask(&mut cloud, false, wrong)).0, "ValidationError");
    }
}

/// Abuse case 47, for identities: each action by its own account and the operator, by nobody else and by no session.
#[test]
fn an_account_is_managed_by_its_own_keys_and_the_operators() {
    let mut cloud = Cloud::new();
    let key = cloud.key(OPERATOR, ALICE).unwrap();
    cloud.key(ALICE, ALICE).unwrap();
    let role = format!("RoleArn=arn:aws:iam::{ALICE}:role/netops");
    let put = format!("{role}&Trusted.1={BOB}");
    let unknown = ("NoSuchEntity".to_owned(), 404);
    for (who, is_session) in
        [(caller(BOB), false), (caller(ALICE), true), (session(ALICE, "netops"), true), (caller(OPERATOR), true)]
    {
        let asker = Asker { caller: &who, is_session };
        let (world, now) = (&cloud.world, cloud.now);
        let of_key = if is_session { denied() } else { unknown.clone() };
        assert_eq!(code(sts::create_access_key(world, &asker, ALICE.parse().unwrap(), [9; 32], now)), denied());
        let request = parse(&format!("AccessKeyId={key}&Status=Inactive"));
        assert_eq!(code(accounts::update_access_key(world, &asker, &request)), of_key);
        assert_eq!(code(accounts::delete_access_key(world, &asker, &parse(&format!("AccessKeyId={key}")))), of_key);
        assert_eq!(code(accounts::put_role(world, &asker, &parse(&put), now)), denied());
        assert_eq!(code(accounts::delete_role(world, &asker, &parse(&role))), denied());
        assert_eq!(code(accounts::create_account(world, &asker, &parse("Name=x"), [9; 32], now)), denied());
        let of_alice = format!("Account={ALICE}");
        assert_eq!(code(accounts::list_access_keys(world, &asker, &parse(&of_alice))), denied());
        assert_eq!(code(accounts::list_roles(world, &asker, &parse(&of_alice))), denied());
    }
    // A key that is another's reads as one that is not there.
    let texts = [key.as_str(), "AKIANOBODY"].map(|id| {
        let request = parse(&format!("AccessKeyId={id}"));
        accounts::delete_access_key(&cloud.world, &asker(&caller(BOB)), &request).unwrap_err().message.replace(id, "ID")
    });
    assert_eq!(texts[0], texts[1]);
    let mine = accounts::list_access_keys(&cloud.world, &asker(&caller(BOB)), &parse("")).unwrap();
    assert_eq!(mine.access_keys, []);
    assert_eq!(
        accounts::list_access_keys(&cloud.world, &asker(&caller(OPERATOR)), &parse("")).unwrap().access_keys.len(),
        2
    );
}

#[test]
fn keys_are_disabled_enabled_and_deleted_and_the_operator_keeps_one() {
    let mut cloud = Cloud::new();
    let key = cloud.key(ALICE, ALICE).unwrap();
    let status = |cloud: &Cloud| cloud.world.access_keys.get(&key).map(|key| key.is_disabled);
    for (word, is_disabled) in [("Inactive", true), ("Inactive", true), ("Active", false)] {
        cloud.set(&caller(ALICE), &key, word).unwrap();
        assert_eq!(status(&cloud), Some(is_disabled));
    }
    cloud.delete(&caller(ALICE), &key).unwrap();
    assert_eq!(status(&cloud), None);
    assert_eq!(code(cloud.delete(&caller(ALICE), &key)).0, "NoSuchEntity");

    let operator = caller(OPERATOR);
    let (first, second) = (cloud.key(OPERATOR, OPERATOR).unwrap(), cloud.key(OPERATOR, OPERATOR).unwrap());
    cloud.set(&operator, &second, "Inactive").unwrap();
    let last = ("DeleteConflict".to_owned(), 409);
    assert_eq!(code(cloud.delete(&operator, &first)), last, "the other one does not work");
    assert_eq!(code(cloud.set(&operator, &first, "Inactive")), last);
    cloud.set(&operator, &second, "Active").unwrap();
    cloud.delete(&operator, &first).unwrap();
}

#[test]
fn sessions_take_no_place_from_keys() {
    let mut cloud = Cloud::new();
    let template = |n: usize, session| AccessKey {
        id: format!("ASIA{n:016}"),
        secret: Secret("s".into()),
        account: BOB.parse().unwrap(),
        created: cloud.now,
        is_disabled: false,
        session,
    };
    let expires = cloud.now + Duration::hours(1);
    let of_role = Session { token: Secret("t".into()), expires, role: Some("netops".into()), name: "n".into() };
    let changes: Vec<_> =
        (0..sts::KEYS_PER_ACCOUNT_MAX).map(|n| Change::put(template(n, Some(of_role.clone())))).collect();
    cloud.world = cloud.world.apply(&changes);
    let full = cloud.assume(&caller(BOB), &format!("RoleArn={NETOPS}"), false).unwrap_err();
    assert_eq!((&*full.code, full.message.contains("sessions")), ("LimitExceeded", true));
    cloud.key(BOB, BOB).unwrap();

    // The end of the role is the end of its sessions, in pieces that fit a transaction.
    cloud.trust(&format!("RoleArn={NETOPS}&Trusted.1={ALICE}"));
    let role = parse(&format!("RoleArn={NETOPS}"));
    let (_, changes) = accounts::delete_role(&cloud.world, &asker(&caller(BOB)), &role).unwrap();
    assert!(changes.len() <= 128 && changes.len() > 1);
    cloud.world = cloud.world.apply(&changes);
    let arn: RoleArn = NETOPS.parse().unwrap();
    for _ in 0..32 {
        let changes = accounts::end_sessions(&cloud.world, &arn);
        assert!(changes.len() <= 128);
        cloud.world = cloud.world.apply(&changes);
    }
    assert_eq!((cloud.world.access_keys.size(), cloud.world.roles.size()), (1, 0), "the long-term key stays");
}

#[test]
fn accounts_have_names_and_numbers_of_their_own() {
    let mut cloud = Cloud::new();
    let create = |cloud: &mut Cloud, query: &str| {
        let seed = cloud.seed();
        let result = accounts::create_account(&cloud.world, &asker(&caller(OPERATOR)), &parse(query), seed, cloud.now);
        cloud.apply(result)
    };
    let drawn = create(&mut cloud, "Name=network").unwrap();
    assert!(drawn.account.to_string().len() == 12 && !drawn.account.to_string().starts_with('0'));
    let named = create(&mut cloud, &format!("Name=shop&Account={ALICE}")).unwrap();
    assert_eq!((named.account.to_string().as_str(), named.name.as_str(), named.created), (ALICE, "shop", cloud.now));
    let exists = ("EntityAlreadyExists".to_owned(), 409);
    for again in [
        "Name=shop",
        "Name=other&Account=111111111111",
        "Name=shop&Account=333333333333",
        "Name=x&Account=000000000000",
    ] {
        assert_eq!(code(create(&mut cloud, again)), exists, "{again}");
    }
    for wrong in ["Name=", "Name=%20", "Name=a%0Ab", &format!("Name={}", "x".repeat(51))] {
        assert_eq!(code(create(&mut cloud, wrong)).0, "ValidationError", "{wrong}");
    }
    cloud.key(BOB, BOB).unwrap();
    cloud.trust(&format!("RoleArn=arn:aws:iam::{ALICE}:role/a&Trusted.1={BOB}"));
    let list = |cloud: &Cloud, who: &str| -> Vec<(String, Option<String>, u32, u32)> {
        let all = accounts::list_accounts(&cloud.world, &asker(&caller(who))).unwrap().accounts;
        all.into_iter().map(|one| (one.account.to_string(), one.name, one.access_keys, one.roles)).collect()
    };
    let shop = (ALICE.to_owned(), Some("shop".to_owned()), 0, 1);
    let bob = (BOB.to_owned(), None, 1, 0);
    assert_eq!(list(&cloud, ALICE), std::slice::from_ref(&shop));
    assert_eq!(list(&cloud, BOB), std::slice::from_ref(&bob));
    let all = list(&cloud, OPERATOR);
    assert!(all.len() == 3 && all.contains(&shop) && all.contains(&bob));
}

#[test]
fn what_is_no_role_is_refused() {
    let cloud = Cloud::new();
    let put = |query: &str| {
        let request = FromQuery::from_query(Some(&Node::parse(query.as_bytes()).unwrap()), "")?;
        accounts::put_role(&cloud.world, &asker(&caller(OPERATOR)), &request, cloud.now)
    };
    let many: String = (1..=101).map(|n| format!("&Trusted.{n}={n:012}")).collect();
    for wrong in [
        format!("RoleArn={NETOPS}"),
        format!("RoleArn={NETOPS}{many}"),
        format!("RoleArn={NETOPS}&Trusted.1=me"),
        "RoleArn=netops&Trusted.1=*".to_owned(),
        format!("RoleArn={NETOPS}&Trusted.1=*&MaxSessionDuration=899"),
        format!("RoleArn={NETOPS}&Trusted.1=*&MaxSessionDuration=43201"),
        format!("RoleArn={NETOPS}&Trusted.1=*&ExternalId=x"),
        format!("RoleArn={NETOPS}&Trusted.1=*&ExternalId=a%20b"),
    ] {
        assert_eq!(code(put(&wrong)).0, "ValidationError", "{wrong}");
    }
    let item = put(&format!("RoleArn={NETOPS}&Trusted.1=*&Trusted.2=*")).unwrap().0;
    assert_eq!((item.trusted.len(), item.max_session_duration), (1, 3600));
}
