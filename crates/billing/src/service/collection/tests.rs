#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::service::testing::{NETWORK, Scene, TOKEN, amount};

fn new(scene: &Scene, address: &str, hash: &str) -> NewCollection {
    NewCollection {
        network: NETWORK.to_owned(),
        token: TOKEN.to_owned(),
        address: address.to_owned(),
        index: 3,
        owner: Some((scene.tenant, scene.customer)),
        to: "0xee".to_owned(),
        amount: amount(900),
        fee_most: amount(100),
        fee_token: TOKEN.to_owned(),
        fee_payer: None,
        tx_hash: hash.to_owned(),
        valid_before_s: 25,
    }
}

#[tokio::test]
async fn one_is_on_its_way_from_an_address_until_it_has_ended() {
    let scene = Scene::new().await;
    let begin = async |address: &str, hash: &str| {
        let made = scene.billing.begin_collection(&scene.cx(), &new(&scene, address, hash)).await.unwrap();
        made.map(|made| made.id)
    };
    let open = async || {
        let open = scene.billing.open_collections(&scene.cx(), NETWORK).await.unwrap();
        open.into_iter().map(|it| it.tx_hash).collect::<Vec<_>>()
    };
    let one = begin("0xaa", "0x1").await.unwrap();
    assert_eq!(begin("0xaa", "0x2").await, None, "the first may still happen");
    let two = begin("0xbb", "0x3").await.unwrap();
    assert_eq!(open().await, ["0x1", "0x3"]);
    let ends = [
        (&one, CollectionEnd::Failed { why: "it ended".to_owned() }, CollectionState::Failed),
        (&two, CollectionEnd::Collected { block: Some(7), fee: Some(amount(4)) }, CollectionState::Collected),
    ];
    for (id, end, state) in ends {
        let ended = scene.billing.end_collection(&scene.cx(), id, end).await.unwrap();
        assert_eq!(ended.state, state);
        // Told otherwise by a run that was late.
        let late = CollectionEnd::Unclear { why: "late".to_owned() };
        assert_eq!(scene.billing.end_collection(&scene.cx(), id, late).await.unwrap(), ended);
    }
    assert!(open().await.is_empty());
    // The address is free again, and an end of long ago does not free it a second time.
    let three = begin("0xaa", "0x4").await.unwrap();
    let again = CollectionEnd::Failed { why: "again".to_owned() };
    scene.billing.end_collection(&scene.cx(), &one, again).await.unwrap();
    assert_eq!(open().await, ["0x4"]);
    let listed = scene.billing.list_collections(&scene.cx(), &PageQuery::default()).await.unwrap().data;
    let ids: Vec<&String> = listed.iter().map(|it| &it.id).collect();
    assert_eq!(ids, [&three, &two, &one], "the newest first");
    assert_eq!((listed[1].block, listed[1].fee), (Some(7), Some(amount(4))));
    assert_eq!(
        scene
            .billing
            .end_collection(&scene.cx(), "col_0", CollectionEnd::Failed { why: String::new() })
            .await
            .unwrap_err()
            .code(),
        "not_found"
    );
}
