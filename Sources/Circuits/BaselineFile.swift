import FileFormats
import Importers
import Tensors

extension Baseline {
  /// Writes the baseline: `.safetensors` with one tensor `layer.N.z` `[positions, width]` per layer, else JSON with
  /// `"z"` as `[layer][position][head][d]`.
  ///
  /// - Throws: `FileError` if the file cannot be written. Precondition: not resampled.
  public func write(to file: OutputFile) throws {
    let width = heads * headWidth
    if file.path.hasSuffix(".safetensors") {
      try SafetensorsFile.write(
        layers.enumerated().map { ("layer.\($0.offset).z", [positions, width], $0.element.elements) },
        metadata: ["kind": kind.rawValue, "heads": String(heads)], to: file)
      return
    }
    let z = layers.map { layer -> JSONValue in
      .array(
        (0..<positions).map { position in
          .array(
            (0..<heads).map { head in
              let at = position * width + head * headWidth
              return JSONValue(Array(layer.elements[at..<at + headWidth]))
            })
        })
    }
    let document: JSONValue = [
      "kind": .string(kind.rawValue), "layers": JSONValue(layers.count), "positions": JSONValue(positions),
      "heads": JSONValue(heads), "head_width": JSONValue(headWidth), "z": .array(z),
    ]
    try file.write(document.text() + "\n")
  }

  /// Reads what ``write(to:)`` wrote.
  ///
  /// - Throws: `FileError` for a file that is malformed.
  public init(path: String, heads: Int) throws {
    if path.hasSuffix(".safetensors") {
      let file = try SafetensorsFile(path: path)
      var layers: [Tensor<Double>] = []
      while file.contains("layer.\(layers.count).z") {
        let name = "layer.\(layers.count).z"
        let shape = try file.entry(name).shape
        guard shape.count == 2, layers.isEmpty || layers[0].exampleShape.dims == shape, shape[1] % heads == 0
        else {
          throw FileError(file: path, place: "tensor \(name)", reason: "the shape \(shape) does not fit")
        }
        layers.append(Tensor(Shape([1] + shape), try file.doubles(name)))
      }
      guard let first = layers.first else {
        _ = try file.entry("layer.0.z"); throw FileError(file: path, reason: "is empty")
      }
      self.init(
        kind: .mean, positions: first.shape[1], heads: heads, headWidth: first.shape[2] / heads,
        layers: layers)
      return
    }
    let root = JSONField(root: try JSONValue.parse(contentsOf: path), file: path)
    var layers: [Tensor<Double>] = []
    var positions = 0
    var width = 0
    for layer in try root.member("z").elements() {
      var values: [Double] = []
      let rows = try layer.elements()
      for row in rows {
        for head in try row.elements() {
          guard let numbers = head.value.doubles else { throw head.error("expected numbers") }
          values += numbers
        }
      }
      let own = rows.isEmpty ? 0 : values.count / rows.count
      if layers.isEmpty {
        positions = rows.count
        width = own
      }
      guard positions > 0, rows.count == positions, own == width, values.count == positions * width,
        width > 0,
        width % heads == 0
      else { throw layer.error("the sizes of the layers do not fit") }
      layers.append(Tensor([1, positions, width], values))
    }
    guard !layers.isEmpty else { throw root.error("there is no layer") }
    self.init(kind: .mean, positions: positions, heads: heads, headWidth: width / heads, layers: layers)
  }
}
