// Reads the input as a safetensors file and as a config.json, and uses everything a sound one
// offers. Only a trap, an over-read or unbounded memory is a finding; a typed error is the expected
// end.
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
    do throws(SafetensorsFile.Malformed) {
      let file = try SafetensorsFile(mapped)
      for name in file.tensorNames {
        guard let tensor = try? file.tensor(named: name) else { continue }
        precondition(tensor.dequantized().count == tensor.elementCount)
      }
    } catch {
      precondition(!"\(error)".isEmpty && error.offset >= 0 && error.offset <= size)
    }
    // The same bytes behind the length are JSON by themselves.
    guard size > 8,
      let text = try? MappedFile(
        copying: UnsafeRawBufferPointer(rebasing: bytes[8...]), name: "input")
    else { return 0 }
    do throws(JSONValue.Malformed) {
      let value = try JSONValue(parsing: text)
      _ = (value["a"], value.array, value.integer, value.number, value.string)
    } catch {
      precondition(error.offset >= 0 && error.offset <= size)
    }
    return 0
  })
