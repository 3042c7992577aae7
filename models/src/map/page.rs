//! A page to look at: the scene under the map, with the legend.

use super::{Map, MapError, Paint, colours, picture};
use crate::report::html::{address, escape, percent};
use image::ImageFormat;
use std::fmt::Write;
use std::io::Cursor;

const STYLE: &str = include_str!("style.css");

/// One HTML file without outside parts. `facts` are lines on how the map was made.
///
/// # Errors
/// [`MapError::Encode`].
pub fn page(
    map: &Map,
    title: &str,
    classes: &[String],
    facts: &[String],
) -> Result<String, MapError> {
    let mut scene = Cursor::new(Vec::new());
    let written = map.overview.write_to(&mut scene, ImageFormat::Jpeg);
    written.map_err(|reason| MapError::Encode {
        what: "overview",
        reason: reason.to_string(),
    })?;
    let scene = address("image/jpeg", scene.get_ref());
    let [by_class, by_confidence] = [Paint::Classes, Paint::Confidence]
        .map(|paint| picture(map, paint).map(|png| address("image/png", &png)));
    let (by_class, by_confidence) = (by_class?, by_confidence?);
    let (height, width) = (map.grid.down.scene, map.grid.across.scene);
    // The last cells may reach past the scene, and the map is cut there.
    let reach = |axis: super::Axis| 100.0 * (axis.cells() * axis.cell) as f64 / axis.scene as f64;
    let (tall, wide) = (reach(map.grid.down), reach(map.grid.across));
    let title = escape(title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title><style>{STYLE}</style></head><body><main>\
         <header><p class=\"eyebrow\">Ghostlight map</p><h1>{title}</h1></header>\
         <div class=\"sheet\"><figure style=\"aspect-ratio:{width}/{height};max-width:calc(88vh*{width}/{height})\"><img class=\"scene\" alt=\"the scene\" src=\"{scene}\">\
         <div class=\"over\"><img class=\"sure\" alt=\"the scene's classes, the paler the less sure\" src=\"{by_confidence}\" style=\"width:{wide}%;height:{tall}%\">\
         <img class=\"flat\" alt=\"the scene's classes\" src=\"{by_class}\" style=\"width:{wide}%;height:{tall}%\"></div></figure><aside>\
         <label>Scene on the left, map on the right<input type=\"range\" min=\"0\" max=\"100\" value=\"50\" data-set=\"--edge\" data-unit=\"%\"></label>\
         <label>How much of the scene shows through<input type=\"range\" min=\"0\" max=\"100\" value=\"0\" data-set=\"--through\" data-unit=\"%\"></label>\
         <label class=\"check\"><input type=\"checkbox\" id=\"sure\"> Paler where the network is less sure</label>\
         <table class=\"legend\"><thead><tr><th>Class</th><th>Area</th></tr></thead><tbody>"
    );
    let shares = map.shares();
    let palette = colours(map.classes);
    let mut rows: Vec<_> = classes.iter().zip(&palette).zip(&shares[1..]).collect();
    rows.sort_by(|a, b| b.1.total_cmp(a.1));
    for ((class, [r, g, b]), share) in rows {
        _ = write!(
            page,
            "<tr><th><i style=\"background:rgb({r} {g} {b})\"></i>{}</th><td>{}</td></tr>",
            escape(class),
            percent(*share)
        );
    }
    if shares[0] > 0.0 {
        _ = write!(
            page,
            "<tr><th><i></i>no data</th><td>{}</td></tr>",
            percent(shares[0])
        );
    }
    page.push_str("</tbody></table></aside></div><ul class=\"facts\">");
    for fact in facts {
        _ = write!(page, "<li>{}</li>", escape(fact));
    }
    page.push_str(
        "</ul></main><script>\
         const figure=document.querySelector('figure');\
         for(const range of document.querySelectorAll('input[type=range]'))\
         range.oninput=()=>figure.style.setProperty(range.dataset.set,range.value+range.dataset.unit);\
         document.getElementById('sure').onchange=event=>figure.classList.toggle('paler',event.target.checked);\
         </script></body></html>\n",
    );
    Ok(page)
}
