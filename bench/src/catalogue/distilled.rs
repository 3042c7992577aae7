/// `(batch, classes)` of the losses that compare a student with teachers: a step of EuroSAT, one of a large data set, and a length that
/// is no multiple of a register.
pub fn distilled_logits() -> Vec<(usize, usize)> {
    vec![(64, 10), (128, 45), (4096, 1000)]
}

/// `[n, h, w, c]` of features that are compared: VGG16's last maps, and a pooled MobileNetV2.
pub fn features() -> Vec<[usize; 4]> {
    vec![[64, 7, 7, 512], [256, 1, 1, 1280]]
}
