//! The maps against the table: what is wrong in them is counted, named and made good.

use homeward::datapath::{Compared, maps::Maps};
use sip_common::abi::{ClientKey, Contact, Domain, Override, SOURCE_EXEMPT, SlotWord, SourceKey};

use crate::{
    filled::{self, aor, now},
    stage::{Stage, all_right},
};

#[test]
fn whatever_is_wrong_in_the_maps_is_found_and_made_good() {
    let stage = Stage::new();
    let (config, object, table) = (stage.config(&[]), filled::object(), filled::table(500));
    let mut path = stage.run(&object, &config, &table);
    let clean = path.verify(&table, false, now());
    assert_eq!((clean.wrong(), clean.failed.as_deref(), clean.left), (0, None, None));
    assert_eq!(clean.overrides.checked, 500);
    assert_eq!((clean.slots.checked, clean.servers.checked), (1024, 4));
    assert_eq!((clean.domains.checked, clean.sources.checked, clean.config.checked), (256, 4, 1));

    let kernel = path.kernel();
    let key = |n: u32| table.key(&aor(n));
    kernel.set_override(key(1), None).unwrap();
    kernel.set_override(key(2), Some(Override::new(key(2), 1, 0))).unwrap();
    kernel.set_override(ClientKey([9, 9]), Some(Override(77))).unwrap();
    kernel.set_slot(5, SlotWord::new(2, false));
    kernel.set_slot(60_000, SlotWord::new(2, true));
    let index = Maps::server(kernel, 3).contact();
    kernel.set_contact(index, &Contact::default()).unwrap();
    kernel.set_server(9, Maps::server(kernel, 3));
    let mut names = homeward::core::table::domains::Domains::place([]);
    names.elements[3] = Domain { len: 3, flags: 1, ..Domain::default() };
    kernel.set_domains(&names).unwrap();
    let foreign = SourceKey { bits: 120, address: [1, 2, 3, 4] };
    kernel.set_source(&foreign, SOURCE_EXEMPT).unwrap();
    let mut told = kernel.told().unwrap();
    told.redirect_memory_s += 1;
    kernel.configure(&told).unwrap();

    let found = path.verify(&table, false, now());
    let counts =
        |checked, missing, unwanted, different| Compared { checked, missing, unwanted, different };
    assert_eq!(found.overrides, counts(501, 1, 1, 1), "{found:?}");
    assert_eq!(found.slots, counts(1025, 0, 0, 2));
    assert_eq!(found.servers, counts(5, 0, 1, 1));
    assert_eq!(found.sources, counts(5, 0, 1, 0));
    assert_eq!(found.config, counts(1, 0, 0, 1));
    assert!(found.domains.different >= 2, "{found:?}");
    let named = |name: &str| found.differences.iter().any(|difference| difference.name == name);
    assert!(named(&aor(1)) && named(&aor(2)) && named("home3") && named("5"), "{found:?}");
    assert!(serde_json::to_string(&found).unwrap().contains("\"different\":1"));

    let repaired = path.verify(&table, true, now());
    assert_eq!((repaired.wrong(), repaired.left), (found.wrong(), Some(0)), "{repaired:?}");
    let clean = path.verify(&table, false, now());
    assert_eq!((clean.wrong(), clean.differences.len()), (0, 0), "{clean:?}");
    all_right(&mut path, &table, 0..600);
}
