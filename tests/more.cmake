# Tests beyond the unit programs: the simulator, real processes, and checks of the build itself.
if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/sim/CMakeLists.txt)
  add_subdirectory(sim)
endif()

file(GLOB integration_parts CONFIGURE_DEPENDS integration/*.cmake)
foreach(part ${integration_parts})
  include(${part})
endforeach()

add_test(NAME build.core_is_pure
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/integration/core_is_pure.sh
                 $<TARGET_FILE:synk-core> $<TARGET_FILE:synk-proto-pure>)

find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(patience 60)
if(SYNK_SANITIZE)
  set(patience 180)
endif()
file(GLOB python_tests CONFIGURE_DEPENDS integration/test_*.py)
foreach(source ${python_tests})
  get_filename_component(name ${source} NAME_WE)
  string(REPLACE "test_" "" short ${name})
  add_test(NAME integration.${short} COMMAND Python3::Interpreter ${source})
  set_tests_properties(integration.${short} PROPERTIES
    ENVIRONMENT "SYNK_BIN=${CMAKE_BINARY_DIR}/bin;SYNK_PLUGINS=${CMAKE_BINARY_DIR}/tests/plugins;SYNK_PATIENCE_S=${patience}"
    SKIP_RETURN_CODE 77 TIMEOUT 600 LABELS integration)
endforeach()
