//! Programs about bytes: `demux`, `only_wire`, `only_rewriter`.

use crate::running::{run, run_with_input};
use mach_wire::exception::ExceptionType;
use mach_wire::message::Disposition;
use mach_wire::mig::{HeaderPort, Identity, IdentityKind, Notification, Raise, Routine};
use serde_json::Value;

/// A message of a routine, in hex.
fn message(routine: Routine, state: &[u32]) -> (String, usize) {
    let raise = Raise {
        routine,
        remote: HeaderPort::new(0x1203, Disposition::PORT_SEND_ONCE),
        local: HeaderPort::new(0x1107, Disposition::PORT_SEND),
        voucher: HeaderPort::NONE,
        identity: match routine.identity() {
            IdentityKind::ThreadAndTask => Identity::ThreadAndTask {
                thread: 0xaaaa,
                task: 0xbbbb,
            },
            IdentityKind::Token => Identity::Token {
                token: 0xaaaa,
                thread_id: 0xcccc,
            },
            IdentityKind::Kcdata => Identity::Kcdata { object: 0xaaaa },
            _ => Identity::None,
        },
        disposition: Disposition::PORT_SEND,
        exception: ExceptionType::BAD_INSTRUCTION,
        codes: &[1, 0x1234],
        flavor: 6,
        state: if routine.has_state() { state } else { &[] },
    };
    let mut bytes = vec![0; raise.size()];
    let size = raise.encode(&mut bytes).expect("it fits");
    (hex(&bytes[..size]), size)
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // As a dump has it: in groups, over several lines.
    bytes.chunks(8).map(|row| row.join(" ") + "\n").collect()
}

/// The field of a name.
fn field<'a>(fields: &'a Value, name: &str) -> &'a Value {
    let fields = fields.as_array().expect("fields");
    let found = fields.iter().find(|field| field["name"] == name);
    found.unwrap_or_else(|| panic!("{name}: {fields:?}"))
}

/// The fields follow each other without a gap, up to the message's size.
fn assert_whole(fields: &Value, size: usize) {
    let mut offset = 0;
    for field in fields.as_array().expect("fields") {
        assert_eq!(field["offset"], offset, "{fields}");
        offset += field["size"].as_u64().expect("a size");
    }
    assert_eq!(offset, size as u64, "{fields}");
}

#[test]
fn demux_finds_every_field_of_every_routine() {
    let state: Vec<u32> = (0..68).map(|word| 0x100 + word).collect();
    for routine in Routine::ALL {
        let (hex, size) = message(routine, &state);
        let ended = run_with_input("demux", &["-", "--json"], &hex);
        assert_eq!(ended.code, Some(0), "{routine:?}: {}", ended.text);
        let both = ended.json();
        let (request, reply) = (&both["request"], &both["reply"]);
        assert_whole(request, size);
        assert_eq!(field(request, "exception")["note"], "EXC_BAD_INSTRUCTION");
        assert_eq!(field(request, "code[1]")["value"], "0x1234", "{request}");
        assert_eq!(field(request, "msgh_id")["value"], routine.id().to_string());
        match routine.identity() {
            IdentityKind::ThreadAndTask => {
                assert_eq!(field(request, "thread.name")["value"], "0xaaaa");
                assert_eq!(field(request, "task.name")["value"], "0xbbbb");
            }
            IdentityKind::Token => assert_eq!(field(request, "thread_id")["value"], "0xcccc"),
            _ => {}
        }
        let words = if routine.has_state() { 68 } else { 0 };
        assert_whole(reply, routine.reply_size(words));
        assert_eq!(field(reply, "RetCode")["note"], "KERN_SUCCESS", "{reply}");
        assert_eq!(field(reply, "msgh_remote_port")["value"], "0x1203");
        if routine.has_state() {
            assert_eq!(field(request, "old_state.x1")["value"], "0x10300000102");
            assert_eq!(field(reply, "new_state.x1")["value"], "0x10300000102");
        }
    }
}

#[test]
fn demux_takes_any_bytes_and_leaves_none_out() {
    // Bits, size, ports and voucher; then the id, and what is behind the header.
    let header = "13150080 90010000 01000000 02000000 00000000";
    let ones = "ff".repeat(376);
    for (id, rest) in [
        // The id of the reply is beyond the numbers, or at their end.
        ("ffffff7f", ""),
        ("9bffff7f", ""),
        ("00000080", ""),
        ("63000080", "00"),
        // Counts of descriptors, of codes and of words of 2^32 - 1.
        ("67090000", ones.as_str()),
        ("67090000", "02000000"),
        ("62090000", ones.as_str()),
        ("6d090000", ones.as_str()),
        (
            "66090000",
            "0000000000000000 01000000 02000000 0100000000000000 1000000000000000 06000000 ffffffff 01020304 05",
        ),
        ("66090000", "01"),
        ("01000000", "010203"),
    ] {
        let text = [header, id, rest].join(" ");
        let digits = text.chars().filter(|letter| *letter != ' ').count();
        let ended = run_with_input("demux", &["-", "--json"], &text);
        assert_eq!(ended.code, Some(0), "{text}: {ended:?}");
        let request = &ended.json()["request"];
        assert_whole(request, digits / 2);
        let beyond = |field: &Value| {
            field["name"]
                .as_str()
                .is_some_and(|name| name.contains("[42949"))
        };
        assert!(
            !request.as_array().expect("fields").iter().any(beyond),
            "{request}"
        );
    }
}

#[test]
fn demux_declines_when_told_to() {
    let (hex, _) = message(Routine::MachExceptionRaise, &[]);
    let ended = run_with_input("demux", &["-", "--answer", "decline", "--json"], &hex);
    let both = ended.json();
    assert_eq!(
        field(&both["reply"], "RetCode")["note"],
        "KERN_FAILURE",
        "{both}"
    );
}

#[test]
fn demux_answers_what_is_not_well_formed_as_mig_does() {
    // The message says that it is longer than its bytes.
    let (hex_text, size) = message(Routine::MachExceptionRaise, &[]);
    let short: String = hex_text.split_whitespace().take(size - 8).collect();
    let ended = run("demux", &[&short, "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let both = ended.json();
    let verdict = both["verdict"].as_str().expect("a verdict");
    assert!(verdict.starts_with("not served: "), "{both}");
    assert_eq!(
        field(&both["reply"], "RetCode")["note"],
        "MIG_BAD_ARGUMENTS",
        "{both}"
    );

    // A notification is no exception.
    let mut bytes = [0; 64];
    let notification = Notification::DeadName { name: 0x1403 };
    let size = notification.encode(&mut bytes, 0x1107).expect("it fits");
    let ended = run("demux", &[&hex(&bytes[..size]), "--json"]);
    let both = ended.json();
    let verdict = both["verdict"].as_str().expect("a verdict");
    assert!(verdict.starts_with("no exception: DeadName"), "{both}");
    assert_eq!(
        field(&both["reply"], "RetCode")["note"],
        "MIG_BAD_ID",
        "{both}"
    );
}

#[test]
fn only_wire_lists_the_sizes_of_apples_headers() {
    let rows = run("only_wire", &["--json"]).json();
    let row = rows.as_array().expect("rows").iter();
    let row = row.clone().find(|row| row["id"] == 2407).expect("2407");
    // Header 24, count 4, two descriptors 24, NDR 8, exception 4, count 4, codes 16, flavor 4, count 4, state 272.
    assert_eq!(row["request"]["arm64"], 364, "{row}");
    assert_eq!(row["reply"]["arm64"], 44 + 272, "{row}");
}

#[test]
fn only_rewriter_refuses_the_same_frame_twice() {
    let ended = run("only_rewriter", &["--address", "99"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    assert!(ended.text.contains("si_addr 0x63"), "{}", ended.text);
    assert!(
        ended.text.contains("has already returned"),
        "{}",
        ended.text
    );
}
