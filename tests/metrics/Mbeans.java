// Prints the attributes of a JVM's MBeans, one a line: `<object name> <attribute> <value>`.
// Run by the test: java Mbeans.java <jmx port> <object name pattern>…

import java.util.TreeSet;
import javax.management.MBeanAttributeInfo;
import javax.management.MBeanServerConnection;
import javax.management.ObjectName;
import javax.management.remote.JMXConnector;
import javax.management.remote.JMXConnectorFactory;
import javax.management.remote.JMXServiceURL;

public class Mbeans {
    public static void main(String[] args) throws Exception {
        JMXServiceURL url = new JMXServiceURL("service:jmx:rmi:///jndi/rmi://127.0.0.1:" + args[0] + "/jmxrmi");
        try (JMXConnector connector = JMXConnectorFactory.connect(url)) {
            MBeanServerConnection beans = connector.getMBeanServerConnection();
            for (int at = 1; at < args.length; at++) {
                for (ObjectName name : new TreeSet<>(beans.queryNames(new ObjectName(args[at]), null))) {
                    for (MBeanAttributeInfo attribute : beans.getMBeanInfo(name).getAttributes()) {
                        Object value = beans.getAttribute(name, attribute.getName());
                        System.out.println(name + " " + attribute.getName() + " " + value);
                    }
                }
            }
        }
    }
}
