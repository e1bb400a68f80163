use super::*;
use proptest::prelude::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const BODY: &str =
    "Action=DescribeVpcPeeringConnections&Version=2016-11-15&VpcPeeringConnectionId.1=pcx-0123456789abcdef0";
const SIGNATURE: &str = "26e4193d078ed3c027b36d11f1af24de6007fdf4bfa515fba67ee35f233f7dc3";

fn headers() -> Vec<(String, String)> {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260115/us-east-1/ec2/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature={SIGNATURE}"
    );
    [
        ("host", "ec2.us-east-1.example.internal"),
        ("x-amz-date", "20260115T120000Z"),
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("authorization", &authorization),
    ]
    .map(|(name, value)| (name.to_string(), value.to_string()))
    .into()
}

fn check(headers: &[(String, String)], body: &str, secret: &str, now: &str) -> Result<(), AuthError> {
    let request = Signed { method: "POST", path: "/", query: "", headers, body: body.as_bytes() };
    Claim::read(&request)?.verify(&request, secret, Time::parse(now).unwrap())
}

#[test]
fn known_answers_of_the_specification() {
    let key = signing_key(SECRET, "20150830", "us-east-1", "iam");
    assert_eq!(hex(&key), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    assert_eq!(check(&headers(), BODY, SECRET, "2026-01-15T12:00:00Z"), Ok(()));
}

#[test]
fn anything_changed_is_refused() {
    let now = "2026-01-15T12:00:00Z";
    assert_eq!(check(&headers(), &BODY.replace("def0", "def1"), SECRET, now), Err(AuthError::Mismatch));
    assert_eq!(check(&headers(), BODY, "another", now), Err(AuthError::Mismatch));
    let mut other_host = headers();
    other_host[0].1 = "elsewhere".into();
    assert_eq!(check(&other_host, BODY, SECRET, now), Err(AuthError::Mismatch));
}

#[test]
fn we_sign_as_the_known_answer_says() {
    let known = headers();
    let (given, secret) = (vec![known[0].clone(), known[2].clone()], Secret(SECRET.into()));
    let signer =
        Signer { access_key: "AKIDEXAMPLE", secret: &secret, token: None, region: "us-east-1", service: "ec2" };
    let request = Signed { method: "POST", path: "/", query: "", headers: &given, body: BODY.as_bytes() };
    let added = signer.sign(&request, Time::parse("20260115T120000Z").unwrap());
    assert_eq!(added, [known[1].clone(), known[3].clone()]);
}

#[test]
fn each_service_answers_in_its_own_codes() {
    let expired = || AuthError::Expired("late".into());
    let ended = || AuthError::SessionEnded("over".into());
    let both =
        |error: fn() -> AuthError| [error().into_ec2(), error().into_sts()].map(|e| (e.code.into_owned(), e.status));
    let cases = [
        (both(|| AuthError::Missing), [("MissingAuthenticationToken", 403), ("MissingAuthenticationToken", 403)]),
        (both(|| AuthError::Refused), [("AuthFailure", 401), ("InvalidClientTokenId", 403)]),
        (both(|| AuthError::Mismatch), [("AuthFailure", 401), ("SignatureDoesNotMatch", 403)]),
        (both(|| AuthError::Scope(String::new())), [("SignatureDoesNotMatch", 403), ("SignatureDoesNotMatch", 403)]),
        (both(|| AuthError::Incomplete(String::new())), [("IncompleteSignature", 400), ("IncompleteSignature", 400)]),
        (both(expired), [("RequestExpired", 400), ("SignatureDoesNotMatch", 403)]),
        (both(ended), [("RequestExpired", 400), ("ExpiredToken", 403)]),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected.map(|(code, status)| (code.to_owned(), status)));
    }
    assert_eq!(
        AuthError::Refused.into_ec2(),
        AuthError::Mismatch.into_ec2(),
        "an attacker does not learn which keys exist"
    );
}

#[test]
fn the_clock_may_be_off_by_fifteen_minutes_and_no_more() {
    assert_eq!(check(&headers(), BODY, SECRET, "2026-01-15T12:15:00Z"), Ok(()));
    assert_eq!(check(&headers(), BODY, SECRET, "2026-01-15T11:45:00Z"), Ok(()));
    for late in ["2026-01-15T12:15:01Z", "2026-01-15T11:44:59Z"] {
        assert!(matches!(check(&headers(), BODY, SECRET, late), Err(AuthError::Expired(_))), "{late}");
    }
}

#[test]
fn missing_parts_are_named() {
    let cut = |from: &str, to: &str| {
        let mut headers = headers();
        headers[3].1 = headers[3].1.replace(from, to);
        check(&headers, BODY, SECRET, "2026-01-15T12:00:00Z")
    };
    assert_eq!(check(&headers()[..3], BODY, SECRET, "2026-01-15T12:00:00Z"), Err(AuthError::Missing));
    for (from, to) in [
        ("Credential=", "C="),
        ("SignedHeaders=", "S="),
        ("Signature=", "X="),
        ("AWS4-HMAC-SHA256", "Basic"),
        ("/aws4_request", ""),
        ("host;", ""),
        (";x-amz-date", ""),
    ] {
        assert!(matches!(cut(from, to), Err(AuthError::Incomplete(_))), "{from}");
    }
    for day in ["/20260114/", "/2026011/", "//"] {
        assert!(matches!(cut("/20260115/", day), Err(AuthError::Scope(_))), "{day}");
    }
}

#[test]
fn a_presigned_request_holds_as_long_as_it_says() {
    let query = "Action=DescribeVpcs&Version=2016-11-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260115%2Fus-east-1%2Fec2%2Faws4_request&X-Amz-Date=20260115T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host";
    let headers = vec![("host".to_string(), "h".to_string())];
    let sign = |query: &str| {
        let request = Signed { method: "GET", path: "/", query, headers: &headers, body: b"" };
        let mut claim = Claim::read(&Signed { query: &format!("{query}&X-Amz-Signature=00"), ..request }).unwrap();
        let canonical = hex(&Sha256::digest(claim.canonical(&request)));
        let to_sign = format!("{ALGORITHM}\n{}\n20260115/us-east-1/ec2/{TERMINATOR}\n{canonical}", claim.signed_at);
        claim.signature = hex(&hmac(&signing_key(SECRET, "20260115", "us-east-1", "ec2"), to_sign.as_bytes()));
        format!("{query}&X-Amz-Signature={}", claim.signature)
    };
    let signed = sign(query);
    let at = |query: &str, now: &str| {
        let request = Signed { method: "GET", path: "/", query, headers: &headers, body: b"" };
        Claim::read(&request)?.verify(&request, SECRET, Time::parse(now).unwrap())
    };
    assert_eq!(at(&signed, "2026-01-15T12:01:00Z"), Ok(()));
    assert!(matches!(at(&signed, "2026-01-15T12:01:01Z"), Err(AuthError::Expired(_))));
    assert_eq!(at(&signed.replace("DescribeVpcs", "DeleteVpc"), "2026-01-15T12:00:30Z"), Err(AuthError::Mismatch));
    assert!(matches!(
        at(&signed.replace("Expires=60", "Expires=604801"), "2026-01-15T12:00:30Z"),
        Err(AuthError::Incomplete(_))
    ));
}

/// The query with its signature.
fn presigned(query: &str, headers: &[(String, String)]) -> String {
    let request = Signed { method: "GET", path: "/", query, headers, body: b"" };
    let claim = Claim::read(&Signed { query: &format!("{query}&X-Amz-Signature=00"), ..request }).unwrap();
    format!("{query}&X-Amz-Signature={}", claim.signature_by(SECRET, &request))
}

const PRESIGNED: &str = "Action=CreateTags&Tag.1.Value=a%2Bb&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260115%2Fus-east-1%2Fec2%2Faws4_request&X-Amz-Date=20260115T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host";

#[test]
fn a_presigned_query_is_covered_to_its_last_byte() {
    let headers = [("host".to_string(), "h".to_string())];
    let at = |query: &str, headers: &[(String, String)]| {
        let request = Signed { method: "GET", path: "/", query, headers, body: b"" };
        Claim::read(&request)?.verify(&request, SECRET, Time::parse("2026-01-15T12:00:30Z").unwrap())
    };
    let signed = presigned(PRESIGNED, &headers);
    assert_eq!(at(&signed, &headers), Ok(()));
    // A form reads a bare plus as a space, and a pair that cannot be read may mean anything.
    for (from, to) in [("a%2Bb", "a+b"), ("Action=", "a=%zz&Action="), ("Action=", "%ff=1&Action="), ("Tag.1", "Tag.2")]
    {
        assert_eq!(at(&signed.replacen(from, to, 1), &headers), Err(AuthError::Mismatch), "{to}");
    }
    assert_eq!(at(&signed.replacen("a%2Bb", "a%2bb", 1), &headers), Ok(()), "the same in other letters");
    assert_eq!(at(&signed, &[("host".into(), "elsewhere".into())]), Err(AuthError::Mismatch));
    // Signed over no host, it would fit every server that knows the key.
    let anywhere = signed.replace("SignedHeaders=host", "SignedHeaders=x-custom");
    assert!(matches!(at(&anywhere, &headers), Err(AuthError::Incomplete(why)) if why.contains("'host'")));
}

#[test]
fn headers_that_decide_are_there_once_and_signed() {
    let now = "2026-01-15T12:00:00Z";
    for name in ["host", "x-amz-date", "authorization", "x-amz-security-token"] {
        let mut twice = headers();
        let value = twice.iter().find(|(key, _)| key == name).map_or("t".into(), |(_, value)| value.clone());
        twice.extend([(name.to_string(), value.clone()), (name.to_string(), value)]);
        let refused = check(&twice, BODY, SECRET, now);
        assert!(matches!(refused, Err(AuthError::Incomplete(why)) if why.contains(name)), "{name}");
    }
    for name in ["x-amz-security-token", "x-amz-target"] {
        let mut added = headers();
        added.push((name.into(), "added on the way".into()));
        assert!(matches!(check(&added, BODY, SECRET, now), Err(AuthError::Incomplete(why)) if why.contains(name)));
    }
    let mut traced = headers();
    traced.push(("x-amzn-trace-id".into(), "Root=1".into()));
    assert_eq!(check(&traced, BODY, SECRET, now), Ok(()), "SDKs leave what proxies add unsigned");
}

#[test]
fn the_body_itself_is_hashed_whatever_the_request_says_of_it() {
    // Signed as S3 lets a client do: over the words instead of the body.
    let given = [headers()[0].clone(), ("x-amz-content-sha256".into(), "UNSIGNED-PAYLOAD".into())].to_vec();
    let secret = Secret(SECRET.into());
    let signer = Signer { access_key: "AKID", secret: &secret, token: None, region: "us-east-1", service: "ec2" };
    let request = Signed { method: "POST", path: "/", query: "", headers: &given, body: BODY.as_bytes() };
    let mut all = [given.clone(), signer.sign(&request, Time::parse("20260115T120000Z").unwrap())].concat();
    assert_eq!(check(&all, BODY, SECRET, "2026-01-15T12:00:00Z"), Ok(()));
    let sent = Signed { headers: &all, ..request };
    let claim = Claim::read(&sent).unwrap();
    let unsigned = claim.canonical(&sent).replace(&hex(&Sha256::digest(BODY)), "UNSIGNED-PAYLOAD");
    let to_sign = format!("{ALGORITHM}\n{}\n{}\n{}", claim.signed_at, claim.scope(), hex(&Sha256::digest(unsigned)));
    let forged = hex(&hmac(&signing_key(SECRET, "20260115", "us-east-1", "ec2"), to_sign.as_bytes()));
    let last = all.len() - 1;
    all[last].1 = all[last].1.replace(&claim.signature, &forged);
    assert_eq!(check(&all, BODY, SECRET, "2026-01-15T12:00:00Z"), Err(AuthError::Mismatch));
}

#[test]
fn late_and_early_are_told_in_awss_words() {
    let said = |now: &str| match check(&headers(), BODY, SECRET, now) {
        Err(AuthError::Expired(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        said("2026-01-15T12:16:00Z"),
        "Signature expired: 20260115T120000Z is now earlier than 20260115T120100Z (20260115T121600Z - 15 min.)"
    );
    assert_eq!(
        said("2026-01-15T11:44:00Z"),
        "Signature not yet current: 20260115T120000Z is still later than 20260115T115900Z (20260115T114400Z + 15 min.)"
    );
}

#[test]
fn secrets_that_differ_anywhere_differ() {
    assert!(is_same("abc", "abc") && is_same("", ""));
    for other in ["abd", "bbc", "ab", "abcd", ""] {
        assert!(!is_same("abc", other), "{other}");
    }
}

#[test]
fn each_way_to_be_refused_has_a_name() {
    let all = [
        AuthError::Missing,
        AuthError::Incomplete(String::new()),
        AuthError::Scope(String::new()),
        AuthError::Expired(String::new()),
        AuthError::SessionEnded(String::new()),
        AuthError::Refused,
        AuthError::Mismatch,
    ];
    assert_eq!(all.map(|error| error.cause()), [0, 1, 2, 3, 4, 5, 6]);
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_nothing_else_does(
        host in "[a-z0-9.:]{1,20}", agent in "[ -~]{0,20}", body: Vec<u8>, query in "[a-zA-Z0-9%&=.~+/]{0,20}",
        ms in 0_i64..4_102_444_800_000, token: Option<bool>, flip: proptest::sample::Index,
    ) {
        let (secret, session) = (Secret(SECRET.into()), Secret("session/token+=".into()));
        let signer = Signer { access_key: "AKIA", secret: &secret, token: token.map(|_| &session), region: "eu-west-1", service: "ec2" };
        let (given, now) = (vec![("host".to_owned(), host), ("user-agent".to_owned(), agent)], Time::from_unix_millis(ms));
        let request = Signed { method: "POST", path: "/", query: &query, headers: &given, body: &body };
        let headers = [given.clone(), signer.sign(&request, now)].concat();
        let sent = Signed { headers: &headers, ..request };
        let claim = Claim::read(&sent).unwrap();
        prop_assert_eq!(claim.verify(&sent, SECRET, now), Ok(()));
        prop_assert_eq!(claim.token.as_deref(), token.map(|_| session.0.as_str()));
        prop_assert_eq!(claim.verify(&Signed { method: "GET", ..sent }, SECRET, now), Err(AuthError::Mismatch));
        if !body.is_empty() {
            let mut tampered = body.clone();
            tampered[flip.index(body.len())] ^= 1;
            prop_assert_eq!(claim.verify(&Signed { body: &tampered, ..sent }, SECRET, now), Err(AuthError::Mismatch));
        }
    }

    #[test]
    fn no_header_panics(value: String, query: String) {
        let headers = vec![("authorization".to_string(), format!("AWS4-HMAC-SHA256{value}")), ("x-amz-date".to_string(), value)];
        let _ = Claim::read(&Signed { method: "GET", path: "/", query: &query, headers: &headers, body: b"" });
        let _ = Claim::read(&Signed { method: "GET", path: "/", query: &format!("X-Amz-Signature=1&{query}"), headers: &[], body: b"" });
    }
}
