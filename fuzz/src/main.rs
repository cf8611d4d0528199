//! Every fuzz target, in one program: libFuzzer runs the one that `EEPKIT_FUZZ` names.
//!
//! One program, because linking one for each target takes longer than running them.

#![no_main]

use std::{env, process, sync::OnceLock};

use libfuzzer_sys::fuzz_target;

type Function = fn(&[u8]);

static TARGET: OnceLock<Function> = OnceLock::new();

fuzz_target!(
    init: {
        let name = env::var(VARIABLE).unwrap_or_default();
        if name == "list" {
            for (name, _) in TARGETS {
                println!("{name}");
            }
            process::exit(0);
        }
        match TARGETS.iter().find(|(known, _)| *known == name) {
            Some((_, function)) => {
                TARGET.get_or_init(|| *function);
            }
            None => {
                eprintln!("{VARIABLE} is {name:?}, and must be the name of a target, or list");
                process::exit(2);
            }
        }
    },
    |data: &[u8]| {
        if let Some(function) = TARGET.get() {
            function(data);
        }
    }
);

const VARIABLE: &str = "EEPKIT_FUZZ";

const TARGETS: &[(&str, Function)] = &[
    ("attach_address", eepkit_attach::fuzzing::address),
    ("attach_i2cp", eepkit_attach::fuzzing::i2cp),
    ("attach_sam", eepkit_attach::fuzzing::sam),
    ("bob_bridge", eepkit_bob::fuzzing::bridge),
    ("bob_client", eepkit_bob::fuzzing::client),
    ("bob_lines", eepkit_bob::fuzzing::lines),
    ("bob_saved", eepkit_bob::fuzzing::saved),
    ("datagram_open", eepkit_datagram::fuzzing::open),
    ("datagram_seal", eepkit_datagram::fuzzing::seal),
    ("i2cp_frames", eepkit_i2cp::fuzzing::frames),
    ("i2cp_message", eepkit_i2cp::fuzzing::message),
    ("i2cp_options", eepkit_i2cp::fuzzing::options),
    ("i2cp_session", eepkit_i2cp::fuzzing::session),
    ("irc_conversation", eepkit_irc::fuzzing::conversation),
    ("naming_blockfile", eepkit_naming::fuzzing::blockfile),
    ("naming_download", eepkit_naming::fuzzing::download),
    ("naming_feed", eepkit_naming::fuzzing::feed),
    ("naming_host_name", eepkit_naming::fuzzing::host_name),
    ("naming_hosts", eepkit_naming::fuzzing::hosts),
    ("naming_lines", eepkit_naming::fuzzing::lines),
    ("naming_store", eepkit_naming::fuzzing::store),
    (
        "naming_subscriptions",
        eepkit_naming::fuzzing::subscriptions,
    ),
    ("naming_url", eepkit_naming::fuzzing::url),
    ("router_state", eepkit_router::fuzzing::state),
    ("router_su3", eepkit_router::fuzzing::su3),
    ("sam_bridge", eepkit_sam::fuzzing::bridge),
    ("sam_client", eepkit_sam::fuzzing::client),
    ("sam_datagram", eepkit_sam::fuzzing::datagram),
    ("sam_lines", eepkit_sam::fuzzing::lines),
    ("sam_message", eepkit_sam::fuzzing::message),
    ("sam_older_bridge", eepkit_sam::fuzzing::older_bridge),
    ("sam_older_client", eepkit_sam::fuzzing::older_client),
    ("services_config", eepkit_services::fuzzing::config),
    ("services_filter", eepkit_services::fuzzing::filter),
    ("services_http", eepkit_services::fuzzing::http_request),
    ("services_import", eepkit_services::fuzzing::import),
    ("services_users", eepkit_services::fuzzing::users),
    ("session_link", eepkit::fuzzing::link),
    ("socks_client", eepkit_socks::fuzzing::client),
    ("socks_server", eepkit_socks::fuzzing::server),
    ("socks_udp", eepkit_socks::fuzzing::udp),
    ("streaming_endpoint", eepkit_testbed::fuzzing::endpoint),
    ("streaming_packet", eepkit_testbed::fuzzing::packet),
    ("streaming_peers", eepkit_testbed::fuzzing::peers),
    ("wire_address", eepkit_wire::fuzzing::address),
    ("wire_base64", eepkit_wire::fuzzing::base64_text),
    ("wire_config_file", eepkit_wire::fuzzing::config_file),
    ("wire_destination", eepkit_wire::fuzzing::destination),
    ("wire_gzip", eepkit_wire::fuzzing::gzip_frame),
    ("wire_key_file", eepkit_wire::fuzzing::key_file),
    ("wire_lease_set", eepkit_wire::fuzzing::lease_set),
    ("wire_mapping", eepkit_wire::fuzzing::mapping),
    ("wire_router_info", eepkit_wire::fuzzing::router_info),
];
