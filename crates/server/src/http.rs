//! The port: HTTP/1.1 requests to their answers. Every answer is XML or, of the services that speak it, JSON; every refusal has the shape
//! that the service's clients read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ec2::service::Service;
use ec2::signature::{Claim, Signed};
use ec2::{Error, Node};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::server::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::audit::{Trail, Who};
use crate::auth::Authenticated;
use crate::names::Outsider;
use crate::patience::Patient;
use crate::region::{chain, machine_time};
use crate::seats::Seats;
use crate::tls::Tls;
use crate::{Cloud, api, auth, foreign, route53};

/// The longest request body, in bytes; EC2's user data alone is 16 KiB.
const BODY_MAX: usize = 1 << 20;
/// Connections at a time.
pub const CONNECTIONS_MAX: usize = 1024;
/// What one source address may hold of them, unless an operator says otherwise.
pub const CONNECTIONS_PER_SOURCE: usize = CONNECTIONS_MAX / 2;
/// A client that does not finish its head or body in this time is cut off, and so is one that does not take its answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// From a connection's first byte until TLS is agreed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head: a GET has its parameters there.
const HEAD_MAX: usize = 256 << 10;
const HEADERS_MAX: usize = 64;

/// Serves until the task is ended.
pub(crate) async fn serve(listener: TcpListener, tls: Option<Tls>, cloud: Arc<Cloud>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let seats = Seats::new(cloud.options.api.connections_per_source);
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((connection, from)) => {
                let Some(seat) = seats.take(from.ip()) else {
                    // Without a word: an answer would take what the source is to have no more of.
                    cloud.meters.turned_away(Outsider::Crowd);
                    tracing::debug!(%from, "a source has its share of connections");
                    continue;
                };
                let cloud = cloud.clone();
                let tls = tls.as_ref().map(|tls| tls.acceptor(machine_time()));
                tokio::spawn(async move {
                    receive(connection, from, tls, cloud).await;
                    drop((place, seat));
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: what is open will end.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn receive(connection: TcpStream, from: SocketAddr, tls: Option<tokio_rustls::TlsAcceptor>, cloud: Arc<Cloud>) {
    let _ = connection.set_nodelay(true);
    let Some(tls) = tls else { return talk(connection, from, READ_TIMEOUT, cloud).await };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(connection)).await {
        Ok(Ok(connection)) => talk(connection, from, READ_TIMEOUT, cloud).await,
        Ok(Err(error)) => tracing::debug!(%from, error = %chain(&error), "TLS was not agreed"),
        Err(_) => tracing::debug!(%from, "TLS was not agreed in time"),
    }
}

async fn talk(
    connection: impl AsyncRead + AsyncWrite + Unpin,
    from: SocketAddr,
    patience: Duration,
    cloud: Arc<Cloud>,
) {
    let service = hyper::service::service_fn(move |request| {
        let cloud = cloud.clone();
        async move { Ok::<_, Infallible>(audited(&cloud, request, from, patience).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Patient::new(connection, patience)), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// The answer, written down.
async fn audited(
    cloud: &Cloud,
    request: Request<Incoming>,
    from: SocketAddr,
    patience: Duration,
) -> Response<Full<Bytes>> {
    let mut trail = Trail::new(from, request_id(), request.headers());
    let response = respond(cloud, request, patience, &mut trail).await;
    let code = response.extensions().get::<Refusal>().map_or("ok", |refusal| refusal.0.as_str());
    cloud.audit.record(trail, response.status().as_u16(), code);
    response
}

/// The error code of an answer that says no.
#[derive(Clone)]
struct Refusal(String);

async fn respond(
    cloud: &Cloud,
    request: Request<Incoming>,
    patience: Duration,
    trail: &mut Trail,
) -> Response<Full<Bytes>> {
    let request_id = trail.request_id.clone();
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(patience, Limited::new(body, BODY_MAX).collect()).await;
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().into(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return refuse(Service::Ec2, &too_large(), &request_id);
        }
        Ok(Err(_)) | Err(_) => {
            let error = Error::new("RequestTimeout", "The request's body did not arrive in time").with_status(408);
            return refuse(Service::Ec2, &error, &request_id);
        }
    };
    let query = parts.uri.query().unwrap_or_default();
    let signed =
        Signed { method: parts.method.as_str(), path: parts.uri.path(), query, headers: &headers, body: &body };
    let service = auth::service_of(&signed);
    trail.service = Some(service);
    if let Err((error, why)) = cloud.names.check(&parts) {
        cloud.meters.turned_away(why);
        return refuse(service, &error, &request_id);
    }
    if let Err(error) = admissible(&parts, service) {
        return refuse(service, &error, &request_id);
    }
    if service == Service::Route53 {
        return rest(route53::answer(cloud, &signed, trail).await, &request_id);
    }
    // A presigned POST has its parameters in the query, too.
    let form: &[u8] = if parts.method == Method::GET || body.is_empty() { query.as_bytes() } else { &body };
    match metered(cloud, &signed, form, service, trail).await {
        Ok(document) => document_response(service, StatusCode::OK, document, &request_id),
        Err(error) => refuse(service, &error, &request_id),
    }
}

/// The answer, counted by its action.
async fn metered(
    cloud: &Cloud,
    signed: &Signed<'_>,
    form: &[u8],
    service: Service,
    trail: &mut Trail,
) -> Result<String, Error> {
    let began = Instant::now();
    if service.is_json() {
        let operation = foreign::operation(signed);
        trail.action = operation.chars().take(64).collect();
        let result = foreign::answer(cloud, signed, service, operation, trail).await;
        cloud.meters.request(service, operation, result.as_ref().err(), began.elapsed());
        return result;
    }
    let form = Node::parse(form);
    trail.action = form.as_ref().ok().and_then(|form| form.text("Action")).unwrap_or_default().to_owned();
    let result = match form {
        Ok(form) => {
            let result = answer(cloud, signed, &form, service, trail).await;
            trail.form = Some(form);
            result
        }
        Err(error) => Err(error),
    };
    cloud.meters.request(service, &trail.action, result.as_ref().err(), began.elapsed());
    result
}

async fn answer(
    cloud: &Cloud,
    signed: &Signed<'_>,
    form: &Node,
    service: Service,
    trail: &mut Trail,
) -> Result<String, Error> {
    let who = identify(cloud, signed, service, trail)?;
    let (account, region, request_id) = (who.caller.account, who.region, &trail.request_id);
    let action = form.text("Action").unwrap_or_default().chars().take(64).collect::<String>();
    let result = api::answer(cloud, who, form, request_id).await;
    let code = result.as_ref().err().map_or("ok", |error| &error.code);
    tracing::debug!(%account, %region, action, code, request_id, "request");
    result
}

/// Who asks, written down whether it is let in or not.
pub(crate) fn identify(
    cloud: &Cloud,
    signed: &Signed<'_>,
    service: Service,
    trail: &mut Trail,
) -> Result<Authenticated, Error> {
    let who = auth::authenticate(cloud, signed).map_err(|error| {
        cloud.meters.unauthentic(&error);
        trail.access_key = Claim::read(signed).ok().map(|claim| claim.access_key);
        match service {
            Service::Sts | Service::Route53 => error.into_sts(),
            _ => error.into_ec2(),
        }
    })?;
    trail.access_key = Some(who.access_key.clone());
    trail.who = Some(Who { caller: who.caller.clone(), region: who.region, is_proven: who.is_proven });
    Ok(who)
}

/// What no signature can make good: another method, another path.
fn admissible(parts: &hyper::http::request::Parts, service: Service) -> Result<(), Error> {
    let is_rest = service == Service::Route53;
    if !is_rest && ![Method::GET, Method::POST].contains(&parts.method) {
        let message = format!("The method {} is not allowed; use GET or POST", parts.method);
        return Err(Error::new("MethodNotAllowed", message).with_status(405));
    }
    if !is_rest && parts.uri.path() != "/" {
        let message = format!("The path {} is not served here; the API's path is /", parts.uri.path());
        return Err(Error::new("InvalidRequest", message).with_status(404));
    }
    Ok(())
}

fn too_large() -> Error {
    Error::new("RequestEntityTooLarge", format!("The request is over the limit of {BODY_MAX} bytes")).with_status(413)
}

fn rest(result: Result<route53::Reply, Error>, request_id: &str) -> Response<Full<Bytes>> {
    let reply = match result {
        Ok(reply) => reply,
        Err(error) => return refuse(Service::Route53, &error, request_id),
    };
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let mut response = document_response(Service::Route53, status, reply.document, request_id);
    if let Some(location) = reply.location.and_then(|location| HeaderValue::from_str(&location).ok()) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn refuse(service: Service, error: &Error, request_id: &str) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = document_response(service, status, service.render_error(error, request_id), request_id);
    response.extensions_mut().insert(Refusal(error.code.to_string()));
    response
}

fn document_response(
    service: Service,
    status: StatusCode,
    document: String,
    request_id: &str,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(document)));
    *response.status_mut() = status;
    let content_type = if service.is_json() { "application/x-amz-json-1.1" } else { "text/xml;charset=UTF-8" };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

/// A random UUID (RFC 9562, version 4).
fn request_id() -> String {
    let mut bytes = [0_u8; 16];
    // An id that repeats is no harm: it is for people who read logs.
    let _ = getrandom::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::net::TcpSocket;

    use super::*;
    use crate::{ApiOptions, Carriers, Options};

    const PATIENCE: Duration = Duration::from_millis(50);

    fn cloud() -> Arc<Cloud> {
        cloud_with(ApiOptions::default())
    }

    fn cloud_with(api: ApiOptions) -> Arc<Cloud> {
        let options = Options {
            data: None,
            regions: vec!["us-east-1".parse().unwrap()],
            carriers: Carriers::Fixed(Vec::new()),
            strict_auth: true,
            api,
            allow_clock: false,
            strict: false,
            default_vpc: false,
            timing: None,
            quotas: control::Quotas::default(),
            account_quotas: BTreeMap::new(),
            public_pools: Vec::new(),
            name_suffixes: None,
            wait: Duration::ZERO,
        };
        Arc::new(Cloud::open(options, "127.0.0.1:1".parse().unwrap()).unwrap())
    }

    /// What a client hears that says this and then nothing, until it is cut off.
    async fn heard(cloud: &Arc<Cloud>, said: &str) -> String {
        let (mut client, server): (DuplexStream, DuplexStream) = duplex(1 << 16);
        let talking = tokio::spawn(talk(server, "127.0.0.1:2".parse().unwrap(), PATIENCE, cloud.clone()));
        client.write_all(said.as_bytes()).await.unwrap();
        let mut heard = String::new();
        let read = client.read_to_string(&mut heard);
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("it is held on to").unwrap();
        talking.await.unwrap();
        heard
    }

    #[tokio::test]
    async fn who_only_holds_on_to_a_connection_is_cut_off() {
        let cloud = cloud();
        for said in ["", "POST / HTTP/1.1\r\nhost: localhost\r\nx: "] {
            assert_eq!(heard(&cloud, said).await, "", "{said}");
        }
        let waits = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nAction=";
        let told = heard(&cloud, waits).await;
        assert!(told.starts_with("HTTP/1.1 408") && told.contains("RequestTimeout"), "{told}");
        cloud.close();
    }

    #[tokio::test]
    async fn who_does_not_take_its_answer_is_cut_off() {
        let cloud = cloud();
        let (mut client, server) = duplex(64);
        let talking = tokio::spawn(talk(server, "127.0.0.1:2".parse().unwrap(), PATIENCE, cloud.clone()));
        client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), talking).await.expect("it is held on to").unwrap();
        cloud.close();
    }

    /// A connection from this address of the loopback.
    async fn dial(from: &str, to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        socket.connect(to).await.unwrap()
    }

    /// Whether a connection is served.
    async fn is_served(connection: &mut TcpStream) -> bool {
        // It may be gone already.
        let _ = connection.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let mut first = [0; 8];
        let read = tokio::time::timeout(Duration::from_secs(20), connection.read(&mut first)).await;
        matches!(read.expect("neither served nor refused"), Ok(count) if first[..count] == *b"HTTP/1.1")
    }

    #[tokio::test]
    async fn one_source_leaves_connections_for_the_others() {
        let cloud = cloud_with(ApiOptions { connections_per_source: 2, ..ApiOptions::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, None, cloud.clone()));
        let (mut first, mut second) = (dial("127.0.0.2", address).await, dial("127.0.0.2", address).await);
        assert!(is_served(&mut first).await && is_served(&mut second).await);
        assert!(!is_served(&mut dial("127.0.0.2", address).await).await, "it has its share");
        assert!(is_served(&mut dial("127.0.0.3", address).await).await, "another one has its own");
        drop(first);
        let mut tries = 0;
        while !is_served(&mut dial("127.0.0.2", address).await).await {
            tries += 1;
            assert!(tries < 1000, "what was given back is not to be had");
        }
        serving.abort();
        cloud.close();
    }
}
