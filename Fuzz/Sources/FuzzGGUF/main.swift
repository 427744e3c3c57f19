// Reads the input as a GGUF file and uses everything a sound one offers. Only a trap, an over-read
// or unbounded memory is a finding; a typed error is the expected end.
import CLibFuzzer
import Checkpoints
import Glibc

var count = CommandLine.argc
var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? =
  CommandLine.unsafeArgv

exit(
  LLVMFuzzerRunDriver(&count, &arguments) { data, size in
    let bytes = UnsafeRawBufferPointer(start: data, count: size)
    guard let mapped = try? MappedFile(copying: bytes, name: "input") else { return 0 }
    do throws(GGUFFile.Malformed) {
      let file = try GGUFFile(mapped)
      use(file)
    } catch {
      precondition(!"\(error)".isEmpty && error.offset >= 0 && error.offset <= size)
    }
    return 0
  })

func use(_ file: GGUFFile) {
  for key in file.metadataKeys {
    guard let value = file.metadata[key] else { preconditionFailure("key without value") }
    _ = (value.integer, value.number, value.bool, value.string)
    guard let array = value.array else { continue }
    _ = (array.string(at: 0), array.string(at: array.count - 1), array.string(at: array.count))
    let views = [array.strings?.count, array.bools?.count, array.floats?.count].compactMap(\.self)
    precondition(views.count <= 1 && views.allSatisfy { $0 == array.count })
    _ = array.integers
  }
  for name in file.tensorNames {
    guard let tensor = file.tensor(named: name) else { preconditionFailure("name without tensor") }
    precondition(tensor.dequantized().count == tensor.elementCount)
    var row = [Float](repeating: 0, count: tensor.columns)
    row.withUnsafeMutableBufferPointer { try? tensor.dequantizeRow(tensor.rows - 1, into: $0) }
  }
}
