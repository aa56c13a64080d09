//! The data representation record, and the error reply (`mach/ndr.h`, `mach/mig_errors.h`).
#![allow(non_snake_case)]

use crate::message::mach_msg_header_t;
use crate::names::raw_constants;
use crate::pod::plain_struct;
use crate::types::kern_return_t;

raw_constants! {
    u8; NDR_CONSTANTS;
    NDR_PROTOCOL_2_0 = 0;
    NDR_INT_BIG_ENDIAN = 0;
    NDR_INT_LITTLE_ENDIAN = 1;
    NDR_FLOAT_IEEE = 0;
    NDR_FLOAT_VAX = 1;
    NDR_FLOAT_CRAY = 2;
    NDR_FLOAT_IBM = 3;
    NDR_CHAR_ASCII = 0;
    NDR_CHAR_EBCDIC = 1;
}

plain_struct! {
    /// The sender's data representation. It is never read: MIG's conversion is compiled out.
    pub struct NDR_record_t: 8, align 1 {
        0 mig_vers: u8,
        1 if_vers: u8,
        2 reserved1: u8,
        3 mig_encoding: u8,
        4 int_rep: u8,
        5 char_rep: u8,
        6 float_rep: u8,
        7 reserved2: u8,
    }
}

impl NDR_record_t {
    /// The record that MIG's code writes (`NDR_record`): little-endian integers, ASCII, IEEE.
    pub const RECORD: Self = Self {
        mig_vers: NDR_PROTOCOL_2_0,
        if_vers: NDR_PROTOCOL_2_0,
        reserved1: 0,
        mig_encoding: NDR_PROTOCOL_2_0,
        int_rep: NDR_INT_LITTLE_ENDIAN,
        char_rep: NDR_CHAR_ASCII,
        float_rep: NDR_FLOAT_IEEE,
        reserved2: 0,
    };
}

plain_struct! {
    /// A reply with only a return code. Every reply starts like it.
    pub struct mig_reply_error_t: 36, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 RetCode: kern_return_t,
    }
}
