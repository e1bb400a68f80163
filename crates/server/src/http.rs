//! The port: HTTP/1.1 requests to their answers. Every answer is XML, every refusal has EC2's shape.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ec2::service::Service;
use ec2::signature::Signed;
use ec2::{Error, Node};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, ORIGIN};
use hyper::server::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::{Cloud, api, auth};

/// The longest request body, in bytes; EC2's user data alone is 16 KiB.
const BODY_MAX: usize = 1 << 20;
const CONNECTIONS_MAX: usize = 1024;
/// A client that does not finish its head or body in this time is cut off.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until the task is ended.
pub(crate) async fn serve(listener: TcpListener, cloud: Arc<Cloud>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((connection, _)) => {
                let cloud = cloud.clone();
                tokio::spawn(async move {
                    talk(connection, cloud).await;
                    drop(place);
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

async fn talk(connection: TcpStream, cloud: Arc<Cloud>) {
    let _ = connection.set_nodelay(true);
    let service = hyper::service::service_fn(move |request| {
        let cloud = cloud.clone();
        async move { Ok::<_, Infallible>(respond(&cloud, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .serve_connection(TokioIo::new(connection), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn respond(cloud: &Cloud, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let request_id = request_id();
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(READ_TIMEOUT, Limited::new(body, BODY_MAX).collect()).await;
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
    if let Err(error) = admissible(&parts) {
        return refuse(service, &error, &request_id);
    }
    // A presigned POST has its parameters in the query, too.
    let form: &[u8] = if parts.method == Method::GET || body.is_empty() { query.as_bytes() } else { &body };
    match metered(cloud, &signed, form, service, &request_id).await {
        Ok(document) => document_response(StatusCode::OK, document, &request_id),
        Err(error) => refuse(service, &error, &request_id),
    }
}

/// The answer, counted by its action.
async fn metered(
    cloud: &Cloud,
    signed: &Signed<'_>,
    form: &[u8],
    service: Service,
    request_id: &str,
) -> Result<String, Error> {
    let began = Instant::now();
    let form = Node::parse(form);
    let action = form.as_ref().ok().and_then(|form| form.text("Action")).unwrap_or_default().to_owned();
    let result = match form {
        Ok(form) => answer(cloud, signed, &form, service, request_id).await,
        Err(error) => Err(error),
    };
    cloud.meters.request(service, &action, result.as_ref().err(), began.elapsed());
    result
}

async fn answer(
    cloud: &Cloud,
    signed: &Signed<'_>,
    form: &Node,
    service: Service,
    request_id: &str,
) -> Result<String, Error> {
    let who = auth::authenticate(cloud, signed).map_err(|error| match service {
        Service::Sts => error.into_sts(),
        Service::Ec2 | Service::Peerway => error.into_ec2(),
    })?;
    let (account, region) = (who.caller.account, who.region);
    let action = form.text("Action").unwrap_or_default().chars().take(64).collect::<String>();
    let result = api::answer(cloud, who, form, request_id).await;
    let code = result.as_ref().err().map_or("ok", |error| &error.code);
    tracing::debug!(%account, %region, action, code, request_id, "request");
    result
}

/// What no signature can make good: another method, another path, a page in a browser asking on somebody's behalf.
fn admissible(parts: &hyper::http::request::Parts) -> Result<(), Error> {
    if ![Method::GET, Method::POST].contains(&parts.method) {
        let message = format!("The method {} is not allowed; use GET or POST", parts.method);
        return Err(Error::new("MethodNotAllowed", message).with_status(405));
    }
    if parts.uri.path() != "/" {
        let message = format!("The path {} is not served here; the API's path is /", parts.uri.path());
        return Err(Error::new("InvalidRequest", message).with_status(404));
    }
    if parts.headers.contains_key(ORIGIN) {
        return Err(Error::new("OperationNotPermitted", "Requests from web pages are not served").with_status(403));
    }
    Ok(())
}

fn too_large() -> Error {
    Error::new("RequestEntityTooLarge", format!("The request is over the limit of {BODY_MAX} bytes")).with_status(413)
}

fn refuse(service: Service, error: &Error, request_id: &str) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    document_response(status, service.render_error(error, request_id), request_id)
}

fn document_response(status: StatusCode, document: String, request_id: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(document)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/xml;charset=UTF-8"));
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
