# The worker host's program against a played supervisor.
add_library(plugin_test MODULE support/plugin_test.c)
target_include_directories(plugin_test PRIVATE ${CMAKE_SOURCE_DIR}/worker-host/include
                           ${CMAKE_SOURCE_DIR}/proto/include)
# A directory of its own that nobody else can write, or the host refuses the plugin.
set_target_properties(plugin_test PROPERTIES PREFIX "" OUTPUT_NAME test
                      LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/plugins)
add_custom_command(TARGET plugin_test POST_BUILD
                   COMMAND chmod go-w ${CMAKE_BINARY_DIR}/tests/plugins $<TARGET_FILE:plugin_test>)

# For test_sdk.py: the SDK in use, from C and from its first version.
foreach(name sdk abi1)
  add_library(plugin_${name} MODULE support/plugin_${name}.c)
  target_include_directories(plugin_${name} PRIVATE ${CMAKE_SOURCE_DIR}/worker-host/include
                             ${CMAKE_SOURCE_DIR}/proto/include)
  set_target_properties(plugin_${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name}
                        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/plugins)
  add_custom_command(TARGET plugin_${name} POST_BUILD
                     COMMAND chmod go-w ${CMAKE_BINARY_DIR}/tests/plugins $<TARGET_FILE:plugin_${name}>)
endforeach()

add_executable(host_driver integration/host_driver.c)
set_target_properties(host_driver PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
target_link_libraries(host_driver PRIVATE synk-proto PkgConfig::ZMQ)
add_dependencies(host_driver synk-worker-host plugin_test)
foreach(name exec ends plugin drain spool spool_full reconnect reclaim)
  add_test(NAME integration.host_${name}
           COMMAND host_driver $<TARGET_FILE:synk-worker-host> ${CMAKE_BINARY_DIR}/tests/plugins ${name})
  set_tests_properties(integration.host_${name} PROPERTIES TIMEOUT 120 LABELS integration)
endforeach()
