//! Replays messages that Apple's MIG-generated servers served: the decoder returns what their handler got, the reply has the same bytes,
//! the encoder writes the same requests, and the client's checks have the same result.
//!
//! `MACH_SYS_VECTORS` is the path of a file with other vectors in the same format.

use std::env;

use mach_wire::exception::ExceptionType;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::{Disposition, mach_msg_header_t};
use mach_wire::mig::{
    Accept, HeaderPort, Identity, NewState, REPLY_SIZE_MAX, Raise, Request, Routine, check_reply,
    decode, exc_server, mach_exc_server, serve,
};
use mach_wire::pod;
use serde_json::Value;

struct Vector(Value);

impl Vector {
    fn all() -> Vec<Self> {
        let file = env::var("MACH_SYS_VECTORS").unwrap_or_else(|_| {
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors.json").into()
        });
        let text = std::fs::read_to_string(&file).unwrap_or_else(|why| panic!("{file}: {why}"));
        let vectors: Vec<Value> = serde_json::from_str(&text).expect("a list of vectors");
        assert!(!vectors.is_empty(), "{file} has no vectors");
        vectors.into_iter().map(Self).collect()
    }

    fn name(&self) -> &str {
        self.0["name"].as_str().expect("name")
    }

    fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        let text = self.0.get(key)?.as_str()?;
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
        Some((0..text.len()).step_by(2).map(byte).collect())
    }

    fn int(&self, key: &str) -> i64 {
        self.0[key]
            .as_i64()
            .unwrap_or_else(|| panic!("{}: no {key}", self.name()))
    }

    fn saw(&self) -> Option<Saw<'_>> {
        let saw = &self.0["handler_saw"];
        saw.is_object().then_some(Saw(saw))
    }

    /// Returns the request as received. Apple's handlers change the flavor in the request's own buffer, and the bytes were recorded after
    /// that, so this restores the flavor that the handler got.
    fn request(&self) -> Vec<u8> {
        let mut request = self.bytes("request").expect("request");
        if let Some(saw) = self.saw().filter(|saw| saw.int("old_state_offset") >= 0) {
            let at = usize::try_from(saw.int("old_state_offset")).expect("an offset") - 8;
            let flavor = saw.int("flavor") as i32;
            request[at..at + 4].copy_from_slice(&flavor.to_le_bytes());
        }
        request
    }

    /// Returns the new state that the handler set: flavor and words.
    fn new_state(&self, request: &Request<'_>) -> (i32, Vec<u32>) {
        let flavor = self.number_after("newFlavor").map(|flavor| flavor as i32);
        let count = self
            .number_after("newCnt")
            .or(self.number_after("Cnt").filter(|_| flavor.is_some()));
        let words = match count {
            Some(count) => (0..count as u32).map(|word| 0x1000 + word).collect(),
            None => request.old_state().iter().collect(),
        };
        (flavor.or(request.flavor()).expect("a state routine"), words)
    }

    /// Returns the number that follows `word` in the part of the vector's name that describes the handler.
    fn number_after(&self, word: &str) -> Option<i64> {
        let doing = self.name().split_once("_new")?.1;
        let doing = format!("new{doing}");
        let rest = doing.split_once(word)?.1;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }
}

struct Saw<'a>(&'a Value);

impl Saw<'_> {
    fn int(&self, key: &str) -> i64 {
        let value = &self.0[key];
        // Thread ids are unsigned 64-bit numbers.
        value
            .as_i64()
            .or(value.as_u64().map(|value| value as i64))
            .unwrap_or_else(|| panic!("no {key}"))
    }

    fn port(&self, key: &str) -> u32 {
        self.int(key) as u32
    }
}

fn assert_saw(name: &str, request: &Request<'_>, saw: &Saw<'_>) {
    let routine = format!("catch_{}", request.routine());
    assert_eq!(saw.0["fn"].as_str(), Some(routine.as_str()), "{name}");
    assert_eq!(
        request.exception_port(),
        saw.port("exception_port"),
        "{name}"
    );
    let second = saw.port("task_or_token_or_kcdata");
    let identity = match request.identity() {
        Identity::None => (0, 0, 0),
        Identity::ThreadAndTask { thread, task } => (thread, task, 0),
        Identity::Token { token, thread_id } => (0, token, thread_id as i64),
        Identity::Kcdata { object } => (0, object, 0),
        other => panic!("{other:?}"),
    };
    let wanted = (saw.port("thread"), second, saw.int("thread_id"));
    assert_eq!(identity, wanted, "{name}");
    let exception = ExceptionType::new(saw.int("exception") as i32);
    assert_eq!(request.exception(), exception, "{name}");
    let codes = request.codes().to_vec();
    let count = usize::try_from(saw.int("codeCnt")).expect("a count");
    let wanted = saw.0["code"].as_array().expect("codes").iter();
    let wanted: Vec<i64> = wanted
        .take(count)
        .map(|code| code.as_i64().expect("a code"))
        .collect();
    assert_eq!(codes, wanted, "{name}");
    assert_eq!(request.codes().len(), count, "{name}");
    assert_eq!(
        i64::from(request.flavor().unwrap_or(0)),
        saw.int("flavor"),
        "{name}"
    );
    let state = request.old_state();
    assert_eq!(state.len() as i64, saw.int("old_stateCnt"), "{name}");
    assert_eq!(
        i64::from(state.get(0).unwrap_or(0)),
        saw.int("old_state_first"),
        "{name}"
    );
    let last = state.iter().last().unwrap_or(0);
    assert_eq!(i64::from(last), saw.int("old_state_last"), "{name}");
    let code_at = usize::try_from(saw.int("code_offset")).expect("an offset");
    if let Some(code) = request.codes().first() {
        let raw = &request.message()[code_at..code_at + request.routine().code_size()];
        assert_eq!(raw, &code.to_le_bytes()[..raw.len()], "{name}");
    }
    if let Ok(at) = usize::try_from(saw.int("old_state_offset")) {
        assert_eq!(state.as_bytes(), &request.message()[at..], "{name}");
    }
}

fn replay(vector: &Vector, server: Server, bytes: &[u8]) {
    let name = vector.name();
    let mut reply = vec![0xa5; REPLY_SIZE_MAX];
    let mut called = false;
    let handler = |request: &Request<'_>, state: &mut NewState<'_>| {
        called = true;
        let saw = vector
            .saw()
            .unwrap_or_else(|| panic!("{name}: Apple's handler was not called"));
        assert_saw(name, request, &saw);
        if request.routine().has_state() {
            let (flavor, words) = vector.new_state(request);
            state.set_words(flavor, &words).expect("every state fits");
        }
        KernReturn::new(vector.int("handler_returns") as i32)
    };
    let served =
        server(bytes, &mut reply, &mut { handler }).unwrap_or_else(|why| panic!("{name}: {why}"));
    assert_eq!(called, vector.saw().is_some(), "{name}");
    assert_eq!(
        i64::from(served.is_known()),
        vector.int("demux_return"),
        "{name}"
    );
    assert_eq!(
        served.reply_size as i64,
        vector.int("reply_msgh_size"),
        "{name}"
    );
    let wanted = vector.bytes("reply").expect("reply");
    assert_eq!(reply[..served.reply_size], wanted, "{name}");
    assert_eq!(
        i64::from(served.code.raw()),
        vector.int("reply_retcode"),
        "{name}"
    );
    let header: mach_msg_header_t = pod::read(&reply).expect("a header");
    let (id, bits) = (header.msgh_id, header.msgh_bits);
    assert_eq!(i64::from(id), vector.int("reply_id"), "{name}");
    assert_eq!(i64::from(bits), vector.int("reply_bits"), "{name}");
    let mut untouched = reply[served.reply_size..].iter();
    if vector.saw().is_none() {
        assert!(
            untouched.all(|byte| *byte == 0xa5),
            "{name}: wrote past the reply"
        );
    }
}

type Handler<'h> = dyn FnMut(&Request<'_>, &mut NewState<'_>) -> KernReturn + 'h;
type Server = fn(
    &[u8],
    &mut [u8],
    &mut Handler<'_>,
) -> Result<mach_wire::mig::Served, mach_wire::mig::ServeError>;

fn server(vector: &Vector) -> Server {
    match vector.0["demux"].as_str() {
        Some("exc_server") => |request, reply, handler| exc_server(request, reply, handler),
        Some("mach_exc_server") => {
            |request, reply, handler| mach_exc_server(request, reply, handler)
        }
        other => panic!("{}: unknown demultiplexer {other:?}", vector.name()),
    }
}

#[test]
fn every_vector_is_served_as_apples_server_served_it() {
    let vectors = Vector::all();
    for vector in &vectors {
        replay(vector, server(vector), &vector.request());
    }
    println!("{} vectors", vectors.len());
}

#[test]
fn a_message_need_not_be_aligned_and_its_trailer_is_ignored() {
    for vector in Vector::all() {
        for shift in 1..4 {
            let mut buffer = vec![0x5a; shift];
            buffer.extend(vector.request());
            // A wrong msgh_size must not reach into the bytes after the message, so only well-formed messages get a trailer.
            if vector.saw().is_some() {
                buffer.extend([0, 0, 0, 0, 8, 0, 0, 0]);
            }
            replay(&vector, server(&vector), &buffer[shift..]);
        }
    }
}

#[test]
fn the_server_of_both_subsystems_replies_like_each() {
    for vector in Vector::all() {
        let header: mach_msg_header_t = pod::read(&vector.request()).expect("a header");
        let id = header.msgh_id;
        let other = (2401..2411).contains(&id) && vector.int("demux_return") == 0;
        if other && id != 2404 {
            continue;
        }
        replay(
            &vector,
            |request, reply, handler| serve(Accept::Both, request, reply, handler),
            &vector.request(),
        );
    }
}

#[test]
fn every_request_is_encoded_to_the_same_bytes() {
    let mut encoded = 0;
    for vector in Vector::all() {
        // A message that the client's stub made is well-formed in every byte, also in NDR and padding.
        let Some(sent) = vector.bytes("sent_by_client_stub") else {
            continue;
        };
        let name = vector.name();
        let received = vector.request();
        let request = decode(&received, Accept::Both).unwrap_or_else(|why| panic!("{name}: {why}"));
        let codes = request.codes().to_vec();
        let state: Vec<u32> = request.old_state().iter().collect();
        let header = request.header();
        let mut raise = Raise {
            routine: request.routine(),
            remote: HeaderPort::new(header.msgh_remote_port, Disposition::MOVE_SEND_ONCE),
            local: HeaderPort::new(header.msgh_local_port, Disposition::MOVE_SEND),
            voucher: HeaderPort::NONE,
            identity: request.identity(),
            disposition: Disposition::MOVE_SEND,
            exception: request.exception(),
            codes: &codes,
            flavor: request.flavor().unwrap_or(0),
            state: &state,
        };
        let mut buffer = vec![0xa5; raise.size() + 4];
        let size = raise
            .encode(&mut buffer)
            .unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(buffer[..size], received, "{name}");
        assert_eq!(buffer[size..], [0xa5; 4], "{name}");

        // As sent: the stub leaves msgh_size to mach_msg.
        let stub: mach_msg_header_t = pod::read(&sent).expect("a header");
        raise.remote = HeaderPort::new(stub.msgh_remote_port, Disposition::COPY_SEND);
        raise.local = HeaderPort::new(stub.msgh_local_port, Disposition::MAKE_SEND_ONCE);
        raise.disposition = Disposition::COPY_SEND;
        raise
            .encode(&mut buffer)
            .unwrap_or_else(|why| panic!("{name}: {why}"));
        buffer[4..8].copy_from_slice(&sent[4..8]);
        assert_eq!(buffer[..size], sent, "{name}");
        encoded += 1;
    }
    println!("{encoded} requests encoded");
}

#[test]
fn every_reply_is_checked_as_apples_client_checked_it() {
    let mut checked = 0;
    for vector in Vector::all() {
        if vector.0.get("client_return").is_none() {
            continue;
        }
        let name = vector.name();
        let mut reply = vector.bytes("reply").expect("reply");
        // On the way the two ports are exchanged: the reply right becomes the client's local port.
        reply[8..16].rotate_left(4);
        let mut id = i32::from_le_bytes(reply[20..24].try_into().expect("four bytes"));
        let routine = Routine::from_id(id - 100).expect("a reply's id");
        if name.ends_with("clientSeesWrongReplyId") {
            id += 1;
        } else if name.ends_with("clientSeesSendOnceNotification") {
            id = 71;
        }
        reply[20..24].copy_from_slice(&id.to_le_bytes());
        assert_eq!(
            routine.reply_buffer_size() as i64,
            vector.int("client_rcv_size"),
            "{name}"
        );
        let result = check_reply(routine, &reply, routine.reply_buffer_size());
        let code = match &result {
            Ok(_) => KernReturn::SUCCESS,
            Err(why) => why.kern_return(),
        };
        assert_eq!(
            i64::from(code.raw()),
            vector.int("client_return"),
            "{name}: {result:?}"
        );
        checked += 1;
    }
    println!("{checked} replies checked");
}
