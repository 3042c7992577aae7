//! Annotations as Pascal VOC has them: one XML file for each image.

use super::annotation::{Annotation, Broken, Object};
use crate::data::crop::Outline;
use roxmltree::{Document, Node};

/// The objects of one file. Elements are found by their names, in any order, and of an object's children only: an owner has a name too,
/// and so have an object's parts.
pub(super) fn parse(text: &str) -> Annotation {
    let document = match Document::parse(text.trim_start_matches('\u{feff}')) {
        Ok(document) => document,
        Err(error) => {
            return Annotation::broken(error.pos().row, format!("it is no valid XML: {error}"));
        }
    };
    let root = document.root_element();
    if !root.has_tag_name("annotation") {
        let name = root.tag_name().name();
        return Annotation::broken(
            line(&root),
            format!("its root is <{name}>, not <annotation>"),
        );
    }
    let size = child(&root, "size").and_then(|size| {
        let side = |name| number(&size, name).ok().filter(|&side| side > 0.0);
        Some((side("height")? as usize, side("width")? as usize))
    });
    let objects = root.children().filter(|node| node.has_tag_name("object"));
    Annotation {
        size,
        objects: objects.map(|node| object(&node)).collect(),
    }
}

fn object(node: &Node) -> Result<Object, Broken> {
    let broken = |node: &Node, reason: String| Broken {
        line: line(node),
        reason,
    };
    let class = child(node, "name").and_then(|name| name.text());
    let class = class.map(str::trim).filter(|class| !class.is_empty());
    let class = class.ok_or_else(|| broken(node, "the object has no <name>".into()))?;
    let mut boxes = node.children().filter(|child| child.has_tag_name("bndbox"));
    let (Some(bounds), None) = (boxes.next(), boxes.next()) else {
        return Err(broken(node, "the object has not one <bndbox>".into()));
    };
    let side = |name| number(&bounds, name).map_err(|reason| broken(&bounds, reason));
    let (left, top) = (side("xmin")?, side("ymin")?);
    let (right, bottom) = (side("xmax")?, side("ymax")?);
    if left > right || top > bottom {
        let reason = format!("the box goes from ({left}, {top}) to ({right}, {bottom})");
        return Err(broken(&bounds, reason));
    }
    let difficult = match child(node, "difficult")
        .and_then(|it| it.text())
        .map(str::trim)
    {
        None | Some("" | "0") => false,
        Some("1") => true,
        Some(other) => {
            return Err(broken(
                node,
                format!("<difficult> is `{other}`, not 0 or 1"),
            ));
        }
    };
    // VOC counts pixels from 1 and names the first and the last of them.
    let (left, top) = (left - 1.0, top - 1.0);
    let corners = [[left, top], [right, top], [right, bottom], [left, bottom]];
    Ok(Object {
        class: class.to_string(),
        outline: Outline(corners),
        difficult,
        line: line(node),
    })
}

fn child<'a, 'input>(node: &Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn number(node: &Node, name: &str) -> Result<f64, String> {
    let text = child(node, name).and_then(|it| it.text());
    let text = text.ok_or_else(|| format!("<{}> has no <{name}>", node.tag_name().name()))?;
    let number: Option<f64> = text.trim().parse().ok();
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| format!("<{name}> is `{}`, which is no number", text.trim()))
}

fn line(node: &Node) -> u32 {
    node.document().text_pos_at(node.range().start).row
}
