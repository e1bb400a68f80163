//! The harness that the fuzz target `query`, the property test and the replay of the corpus share.

use std::collections::BTreeMap;

use crate::action::{Action, NAMES};
use crate::service::{IamRequest, PeerwayRequest, Service, StsRequest};
use crate::signature::{AuthError, Claim, Signed};
use crate::{Error, Node, Request};

/// Reads `input` as the form of a request to each service and of every action, and as both forms of a signature. `check` gets
/// every document that comes out and must find it well-formed.
///
/// # Panics
/// If an error is not the client's, or reading broke a law: that is what fuzzing looks for.
pub fn query(input: &[u8], check: impl Fn(&str)) {
    match Node::parse(input) {
        Ok(form) => check_form(&form, &check),
        Err(error) => check_error(&error, &check),
    }
    check_signature(&String::from_utf8_lossy(input), &check);
}

fn check_form(form: &Node, check: &impl Fn(&str)) {
    match Request::parse(form) {
        Ok(request) => {
            assert_eq!(form.text("Action"), Some(request.action.name()), "the action is the one that was asked for");
            assert_eq!(Request::parse(form).as_ref(), Ok(&request), "a form means one request");
        }
        Err(error) => check_error(&error, check),
    }
    let others = NAMES.iter().filter_map(|name| Action::parse(name, form).err());
    let services = [StsRequest::parse(form).err(), PeerwayRequest::parse(form).err(), IamRequest::parse(form).err()];
    let errors = others.chain(services.into_iter().flatten());
    // Most actions refuse in the same words.
    let distinct: BTreeMap<_, _> = errors.map(|error| ((error.code.clone(), error.message.clone()), error)).collect();
    distinct.values().for_each(|error| check_error(error, check));
}

fn check_signature(text: &str, check: &impl Fn(&str)) {
    let headers = [("host", "h"), ("x-amz-date", "20260115T120000Z"), ("authorization", text)];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let by_header = Signed { method: "POST", path: "/", query: "", headers: &headers, body: text.as_bytes() };
    let by_query = Signed { method: "GET", path: "/", query: text, headers: &[], body: b"" };
    for request in [by_header, by_query] {
        let verified = Claim::read(&request).and_then(|claim| {
            let at = claim.time;
            claim.verify(&request, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", at)
        });
        let Err(error) = verified else { continue };
        assert!(!matches!(error, AuthError::Expired(_)), "no signature expires at the moment when it is made");
        check_error(&error.clone().into_ec2(), check);
        check_error(&error.into_sts(), check);
    }
}

fn check_error(error: &Error, check: &impl Fn(&str)) {
    assert!((400..500).contains(&error.status), "no client can cause this: {error:?}");
    assert!(!error.code.is_empty() && !error.message.is_empty(), "{error:?}");
    for service in Service::ALL.into_iter().filter(|service| !service.is_json()) {
        check(&service.render_error(error, "11111111-2222-3333-4444-555555555555"));
    }
}
