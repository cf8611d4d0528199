//! Addresses and capabilities of routers.

use eepkit::{AttachError, ErrorKind, OpenError, Router};

use crate::lab::{Lab, Link, over_both_links};

over_both_links! {
    more_than_one_path_needs_a_router_that_reports_its_tunnels,
    impossible_numbers_of_tunnels_are_refused,
}

async fn more_than_one_path_needs_a_router_that_reports_its_tunnels(link: Link) {
    let lab = Lab::new(link);
    let opened = lab
        .builder()
        .streaming(|config| config.with_max_paths(2))
        .open()
        .await;
    match link {
        Link::Direct => drop(opened.expect("it reports them")),
        Link::I2cp => {
            let error = opened.expect_err("it does not report them");
            assert!(matches!(error, OpenError::Unsupported(_)), "{error:?}");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
    }
}

async fn impossible_numbers_of_tunnels_are_refused(link: Link) {
    let session = Lab::new(link).session().await;
    for (inbound, outbound) in [(0, 2), (2, 17)] {
        let error = session
            .set_tunnel_quantity(inbound, outbound)
            .expect_err("out of range");
        assert_eq!(error.kind(), ErrorKind::BadInput);
    }
}

#[test]
fn addresses_of_all_schemes_are_attached_to() {
    for address in [
        "i2cp://127.0.0.1:7654",
        "i2cp://localhost",
        "sam://127.0.0.1",
        "sam://user:password@127.0.0.1:7656?udp=7655",
    ] {
        let router = Router::attach(address).expect(address);
        assert!(router.watch().is_none(), "{address} runs elsewhere");
        assert_eq!(router.makes_streams(), address.starts_with("sam"));
    }
    for address in ["", "embedded", "http://127.0.0.1", "i2cp://example.com"] {
        let error = Router::attach(address).expect_err(address);
        assert!(matches!(error, AttachError::Address(_)), "{error:?}");
    }
}
